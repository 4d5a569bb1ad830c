//! `gdcert plot` and the tables: what goes into papers.

use crate::common::{Folder, refused};
use std::path::Path;
use std::process::Command;

const VERIFY: [&str; 15] = [
    "verify", "-N", "1", "-n", "3", "-D", "6", "-d", "3", "-H", "2", "--init", "lazy", "--scale",
    "10",
];

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The value of an attribute of the first tag.
fn attribute(svg: &str, name: &str) -> String {
    let rest = svg.split_once(&format!(" {name}=\"")).unwrap().1;
    rest.split('"').next().unwrap().to_owned()
}

/// Text has its size on paper whatever the width; fonts are in the files; lines that are the same are one.
#[test]
fn text_has_its_true_size() {
    let folder = Folder::new();
    folder.fine(&[&VERIFY[..], &["--kernel", "gaussian", "--out", "v"]].concat());
    for (width, points, size) in [
        ("3.25in", 234.0, 8.0),
        ("16cm", 453.543, 8.0),
        ("234pt", 234.0, 11.0),
    ] {
        let font = format!("{size}pt");
        folder.fine(&[
            "plot",
            "v",
            "--format",
            "svg,pdf,png",
            "--width",
            width,
            "--font-size",
            &font,
            "--title",
            "none",
            "--out",
            "p",
        ]);
        let svg = text(&folder.path("p/rate-vs-bound.svg"));
        let wide: f64 = attribute(&svg, "width")
            .strip_suffix("pt")
            .unwrap()
            .parse()
            .unwrap();
        assert!((wide - points).abs() < 0.01, "{width}: {wide}");
        let view: Vec<f64> = attribute(&svg, "viewBox")
            .split(' ')
            .map(|x| x.parse().unwrap())
            .collect();
        let unit = wide / view[2];
        let sizes: Vec<f64> = svg
            .split("font-size=\"")
            .skip(1)
            .map(|rest| unit * rest.split('"').next().unwrap().parse::<f64>().unwrap())
            .collect();
        assert!(!sizes.is_empty());
        for found in sizes {
            let index = 0.7 * size;
            let near = |x: f64| (found - x).abs() < 0.01 * size;
            assert!(near(size) || near(index), "{width}: {found} points");
        }
        assert!(svg.contains("@font-face") && svg.contains("font-style=\"italic\""));
        assert!(svg.contains("per_head = value = ntk"));
        for raw in ["f_t", "f_{", "sigma_min", "M_t", "beta"] {
            let shown = svg.split("</title>").nth(1).unwrap();
            assert!(!shown.contains(raw), "{raw} is set as it is");
        }
        let pdf = std::fs::read(folder.path("p/rate-vs-bound.pdf")).unwrap();
        let has = |what: &[u8]| pdf.windows(what.len()).any(|w| w == what);
        assert!(pdf.starts_with(b"%PDF-") && has(b"/FontFile2") && has(b"/ToUnicode"));
        let png =
            png::Decoder::new(&std::fs::read(folder.path("p/rate-vs-bound.png")).unwrap()[..])
                .read_info()
                .unwrap()
                .info()
                .width;
        assert_eq!(png, (points / 72.0 * 600.0).round() as u32);
    }
}

#[test]
fn what_makes_no_figure_is_refused() {
    let folder = Folder::new();
    folder.fine(&[&VERIFY[..], &["--kernel", "gaussian", "--out", "v"]].concat());
    for (flags, word) in [
        (&["--width", "3"][..], "3.25in"),
        (&["--width", "1cm"], "too small"),
        (&["--font-size", "0pt"], "0pt"),
        (&["--format", "gif"], "svg, png or pdf"),
        (&["--panels", "loss,gain"], "loss, sigma and moved"),
        (&["--readings", "none"], "choose from stacked"),
        (&["--legend", "below"], "inside, above or none"),
        (&["--out", "v"], "v"),
    ] {
        refused(
            folder.0.path(),
            &[&["plot", "v"][..], flags].concat(),
            &[word],
        );
    }
    refused(folder.0.path(), &["plot", "nowhere"], &["run.json"]);
}

/// A page of two columns made of nothing but our files.
#[test]
fn a_paper_compiles() {
    if Command::new("pdflatex").arg("--version").output().is_err() {
        eprintln!("skipped: TeX is not installed");
        return;
    }
    let folder = Folder::new();
    folder.fine(&[&VERIFY[..], &["--kernel", "gaussian", "--out", "v"]].concat());
    folder.fine(&[
        "plot", "v", "--format", "pdf", "--width", "3.1in", "--title", "none", "--out", "p",
    ]);
    folder.fine(&[
        "plot", "v", "--format", "pdf", "--width", "6.4in", "--panels", "loss", "--legend",
        "inside", "--out", "q",
    ]);
    let tables = folder.fine(&["explain", "v", "--format", "latex"]);
    assert!(
        tables.contains("\\label{tab:") && tables.contains("$\\beta$"),
        "{tables}"
    );
    std::fs::write(folder.path("tables.tex"), &tables).unwrap();
    let document = "\\documentclass[twocolumn]{article}\n\\usepackage{graphicx,booktabs}\n\\begin{document}\n\
        \\begin{figure}\\includegraphics{p/rate-vs-bound}\\caption{The loss.}\\end{figure}\n\
        \\input{tables}\n\\begin{figure*}\\includegraphics{q/rate-vs-bound}\\end{figure*}\n\
        Text.\\clearpage Text.\\end{document}\n";
    std::fs::write(folder.path("paper.tex"), document).unwrap();
    let output = Command::new("pdflatex")
        .args(["-interaction=nonstopmode", "-halt-on-error", "paper.tex"])
        .current_dir(folder.path("."))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{log}");
    for bad in [
        "Overfull \\hbox",
        "Missing character",
        "undefined",
        "Font Warning",
    ] {
        assert!(!log.contains(bad), "{bad}: {log}");
    }
    assert!(folder.path("paper.pdf").is_file());
}
