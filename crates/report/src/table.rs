//! Tables for a terminal, a page, a spreadsheet and a paper.

use crate::{Error, Result};
use gdcert_base::number::{digits, short};
use gdcert_base::printable::{printable_line, spreadsheet};
use serde_json::Value;

/// A table with a caption and a header.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// The header.
    pub columns: Vec<String>,
    /// The rows, as long as the header.
    pub rows: Vec<Vec<Cell>>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// As shown: numbers with four significant digits.
    pub text: String,
    /// A number as it stands in the file, all digits.
    pub exact: Option<String>,
    /// Where a page links to.
    pub link: Option<String>,
    /// Several numbers with their names; `text` holds them too.
    pub items: Vec<(String, Cell)>,
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Cell {
            text: printable_line(&text.into()).into_owned(),
            exact: None,
            link: None,
            items: Vec::new(),
        }
    }

    /// Words that a page links to a place.
    pub fn link(text: impl Into<String>, to: impl Into<String>) -> Self {
        Cell {
            link: Some(to.into()),
            ..Cell::text(text)
        }
    }

    /// A number in scientific notation, four significant digits; a dash if there is none.
    pub fn number(x: Option<f64>) -> Self {
        let value = Value::from(x);
        match value.as_f64() {
            Some(x) => Cell {
                text: digits(x),
                ..Cell::value(&value)
            },
            None => Cell::text("-"),
        }
    }

    /// A value of a JSON file.
    pub fn value(value: &Value) -> Self {
        match value {
            Value::Null => Cell::text("-"),
            Value::String(text) => Cell::text(text),
            Value::Number(n) => Cell {
                text: match n.as_f64() {
                    Some(x) if n.is_f64() => rounded(x),
                    _ => n.to_string(),
                },
                exact: Some(n.to_string()),
                ..Cell::text("")
            },
            Value::Bool(yes) => Cell::text(if *yes { "yes" } else { "no" }),
            // What is no single value is in the file.
            Value::Array(_) | Value::Object(_) => Cell::text("see the file"),
        }
    }

    /// Several numbers, each with its name; a dash if there are none.
    pub fn list(items: Vec<(String, Cell)>) -> Self {
        let text: Vec<_> = items
            .iter()
            .map(|(name, cell)| format!("{name} {}", cell.text))
            .collect();
        Cell {
            items,
            ..Cell::text(if text.is_empty() {
                "-".to_owned()
            } else {
                text.join("; ")
            })
        }
    }

    /// A mean with its standard deviation over several; without one of a single number.
    pub fn spread((mean, sd): (f64, f64), count: usize) -> Self {
        // Two digits of the deviation say all there is to say of the mean.
        let after = match sd > 0.0 && sd.is_finite() {
            true => (1.0 - sd.log10().floor()).clamp(0.0, 9.0) as usize,
            false if mean.abs() < 1.0 => 4,
            false => 2,
        };
        let text = match count {
            0 => return Cell::text("-"),
            1 => format!("{mean:.after$}"),
            _ => format!("{mean:.after$} ± {sd:.after$}"),
        };
        let items = [("mean", mean), ("sd", sd)];
        Cell {
            items: items
                .map(|(name, x)| (name.to_owned(), Cell::value(&Value::from(x))))
                .to_vec(),
            ..Cell::text(text)
        }
    }

    fn is_number(&self) -> bool {
        self.exact.is_some() || self.text == "-" || self.is_spread()
    }

    fn is_spread(&self) -> bool {
        self.items.len() == 2 && self.items[0].0 == "mean" && self.items[1].0 == "sd"
    }
}

/// As [`short`], but what a person wrote, such as 0.5, stays as it is.
fn rounded(x: f64) -> String {
    let plain = x.to_string();
    if plain.len() <= 6 { plain } else { short(x) }
}

impl Table {
    /// A table without rows yet.
    pub fn new(caption: impl Into<String>, columns: &[&str]) -> Self {
        Table {
            caption: printable_line(&caption.into()).into_owned(),
            columns: columns
                .iter()
                .map(|c| printable_line(c).into_owned())
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Whether every entry of a column is a number or missing.
    pub(crate) fn numeric(&self, column: usize) -> bool {
        self.rows.iter().all(|row| row[column].is_number())
    }

    /// The table without some columns.
    pub fn without(&self, names: &[&str]) -> Table {
        let kept: Vec<_> = (0..self.columns.len())
            .filter(|&c| !names.contains(&self.columns[c].as_str()))
            .collect();
        Table {
            caption: self.caption.clone(),
            columns: kept.iter().map(|&c| self.columns[c].clone()).collect(),
            rows: self
                .rows
                .iter()
                .map(|row| kept.iter().map(|&c| row[c].clone()).collect())
                .collect(),
        }
    }

    /// Columns in line, numbers to the right; two spaces before every line.
    pub fn to_text(&self) -> String {
        let width = |c: usize| {
            let cells = self.rows.iter().map(|row| row[c].text.chars().count());
            cells
                .chain([self.columns[c].chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (c, text) in cells.enumerate() {
                let pad = " ".repeat(widths[c] - text.chars().count());
                line += "  ";
                line += &if self.numeric(c) {
                    pad + text
                } else {
                    text.to_owned() + &pad
                };
            }
            line.trim_end().to_owned() + "\n"
        };
        let mut text = line(&mut self.columns.iter().map(String::as_str));
        for row in &self.rows {
            text += &line(&mut row.iter().map(|cell| cell.text.as_str()));
        }
        text
    }

    /// Comma-separated values with all digits.
    ///
    /// # Errors
    /// None is expected.
    pub fn to_csv(&self) -> Result<String> {
        let fail = |e: String| Error::Numerical(format!("cannot form the table: {e}"));
        let mut csv = csv::Writer::from_writer(Vec::new());
        // A mean and its deviation are two numbers.
        let two = |c: usize| self.rows.iter().any(|row| row[c].is_spread());
        let names = self.columns.iter().enumerate().flat_map(|(c, name)| {
            let name = spreadsheet(name).into_owned();
            match two(c) {
                true => vec![name.clone(), format!("{name} sd")],
                false => vec![name],
            }
        });
        csv.write_record(names).map_err(|e| fail(e.to_string()))?;
        let plain = |cell: &Cell| match (&cell.exact, cell.text.as_str()) {
            (Some(exact), _) => exact.clone(),
            (None, "-") => String::new(),
            (None, text) => spreadsheet(text).into_owned(),
        };
        for row in &self.rows {
            let cells = row.iter().enumerate().flat_map(|(c, cell)| match two(c) {
                true if cell.is_spread() => cell.items.iter().map(|(_, x)| plain(x)).collect(),
                true => vec![plain(cell), String::new()],
                false => vec![plain(cell)],
            });
            csv.write_record(cells).map_err(|e| fail(e.to_string()))?;
        }
        let bytes = csv.into_inner().map_err(|e| fail(e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| fail(e.to_string()))
    }

    /// A `table` environment with rules of the booktabs package, narrow enough for a column where its words are; its label is
    /// made of its caption.
    pub fn to_latex(&self) -> String {
        let columns: String = (0..self.columns.len())
            .map(|c| if self.numeric(c) { 'r' } else { 'l' })
            .collect();
        let line = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
        // A long name stands on two lines: a column of a paper is narrow.
        let header = self.columns.iter().enumerate().map(|(c, name)| {
            let side = if self.numeric(c) { 'r' } else { 'l' };
            match name.split_once(' ') {
                Some((first, rest)) => format!(
                    "\\shortstack[{side}]{{{}\\\\{}}}",
                    latex_math(first),
                    latex_math(rest)
                ),
                None => latex_math(name),
            }
        });
        let header = header.collect();
        let mut text = format!(
            "% \\usepackage{{booktabs}}\n\\begin{{table}}\n  \\centering\n  \\caption{{{}}}\n  \\label{{tab:{}}}\n  \\footnotesize\n  \\setlength{{\\tabcolsep}}{{3pt}}\n  \\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n    \\toprule\n",
            latex_math(&self.caption),
            self.label(),
        );
        text += &line(header);
        text += "    \\midrule\n";
        for row in &self.rows {
            let cells = row.iter().map(|cell| match &cell.exact {
                Some(exact) => latex_number(exact),
                None if cell.is_spread() => match cell.text.split_once(" ± ") {
                    Some((mean, sd)) => format!("${mean} \\pm {sd}$"),
                    None => format!("${}$", cell.text),
                },
                None if cell.text == "-" => "--".to_owned(),
                None => latex_math(&cell.text),
            });
            text += &line(cells.collect());
        }
        text + "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n"
    }

    /// The caption's words with hyphens between them.
    fn label(&self) -> String {
        let words = self.caption.to_lowercase();
        let words: Vec<&str> = words
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .take(5)
            .collect();
        words.join("-")
    }

    /// A Markdown table below its caption.
    pub fn to_markdown(&self) -> String {
        let escaped = |text: &str| {
            text.replace('\\', "\\\\")
                .replace('|', "\\|")
                .replace('<', "&lt;")
        };
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let rule = (0..self.columns.len()).map(|c| match self.numeric(c) {
            true => "---:".to_owned(),
            false => "---".to_owned(),
        });
        let mut text = format!("**{}**\n\n", escaped(&self.caption));
        text += &line(self.columns.iter().map(|c| escaped(c)).collect());
        text += &line(rule.collect());
        for row in &self.rows {
            let cells = row.iter().map(|cell| match &cell.exact {
                Some(exact) => as_written(exact),
                None => escaped(&cell.text),
            });
            text += &line(cells.collect());
        }
        text
    }
}

/// A number with four significant digits as a person writes it: 128.5, 0.0123, 1.285e-7.
pub(super) fn as_written(exact: &str) -> String {
    match exact.parse::<f64>() {
        // Whole numbers are counts.
        Ok(_) if !exact.contains(['.', 'e']) => exact.to_owned(),
        Ok(x) if x.fract() == 0.0 && x.abs() < 1e15 => format!("{x:.0}"),
        Ok(x) if (1e-3..1e6).contains(&x.abs()) => {
            let after = (3.0 - x.abs().log10().floor()).clamp(0.0, 6.0) as usize;
            let text = format!("{x:.after$}");
            match text.contains('.') {
                true if exact.len() <= text.len() => exact.to_owned(),
                _ => text,
            }
        }
        Ok(x) => digits(x),
        Err(_) => exact.to_owned(),
    }
}

fn latex_number(exact: &str) -> String {
    let text = as_written(exact);
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("${mantissa} \\times 10^{{{exponent}}}$"),
        None => format!("${text}$"),
    }
}

/// Words in which formulas are formulas: eta beta, M_0, W^Q, sigma_min, >=.
fn latex_math(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '^';
    let mut all = String::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|c| is_word(c) != is_word(first))
            .unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let hyphenated = before == '-' || after.starts_with('-');
        all += &match run {
            "eta" | "beta" | "rho" | "alpha" | "omega" if !hyphenated => format!("$\\{run}$"),
            "sigma_min" => "$\\sigma_{\\min}$".to_owned(),
            "lambda_min" => "$\\lambda_{\\min}$".to_owned(),
            word if is_word(first) => indexed(word).unwrap_or_else(|| latex(word)),
            other => {
                let parts = other.split(">=").map(|part| {
                    let parts: Vec<_> = part.split("<=").map(latex).collect();
                    parts.join("$\\le$")
                });
                parts.collect::<Vec<_>>().join("$\\ge$")
            }
        };
        before = run.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    all
}

/// M_0, W^O_h or f_T as a formula; nothing for other words.
fn indexed(word: &str) -> Option<String> {
    let (base, low) = word.split_once('_').unwrap_or((word, ""));
    let (base, high) = base.split_once('^').unwrap_or((base, ""));
    let is_index = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric());
    if base.len() != 1 || base.len() == word.len() || !is_index(low) || !is_index(high) {
        return None;
    }
    let low = if low.is_empty() {
        String::new()
    } else {
        format!("_{{{low}}}")
    };
    let high = if high.is_empty() {
        String::new()
    } else {
        format!("^{{{high}}}")
    };
    Some(format!("${base}{high}{low}$"))
}

/// Words with LaTeX's own characters escaped: no cell ends, opens or closes anything, and every character is one that
/// pdfLaTeX has.
fn latex(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '\\' => escaped += "\\textbackslash{}",
            '^' => escaped += "\\^{}",
            '~' => escaped += "\\~{}",
            '<' => escaped += "\\textless{}",
            '>' => escaped += "\\textgreater{}",
            '|' => escaped += "\\textbar{}",
            '`' => escaped += "\\textasciigrave{}",
            // After the end of a row, or after a rule, these would be read as an option.
            '[' | ']' | '*' => escaped.extend(['{', c, '}']),
            // Two of them would become a dash, or a pair of quotes.
            '-' | '\'' | ',' | '!' | '?' if escaped.ends_with(c) => escaped.extend(['{', '}', c]),
            ' '..='~' | '\u{a1}'..='\u{17f}' => escaped.push(c),
            c if c.is_whitespace() => escaped.push(' '),
            c => escaped += &format!("{{[}}U+{:04X}{{]}}", c as u32),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("a_b & 50%", &["reading", "rate"]);
        table.rows.push(vec![
            Cell::text("per_head"),
            Cell::number(Some(0.000123456)),
        ]);
        table
            .rows
            .push(vec![Cell::text("stacked, W^O"), Cell::number(None)]);
        table
    }

    #[test]
    fn columns_are_in_line() {
        assert_eq!(
            table().to_text(),
            "  reading           rate\n  per_head      1.235e-4\n  stacked, W^O         -\n"
        );
    }

    #[test]
    fn csv_has_all_digits_and_quotes() {
        assert_eq!(
            table().to_csv().unwrap(),
            "reading,rate\nper_head,0.000123456\n\"stacked, W^O\",\n"
        );
    }

    #[test]
    fn latex_is_escaped() {
        let text = table().to_latex();
        assert!(text.contains("\\caption{$a_{b}$ \\& 50\\%}"), "{text}");
        assert!(
            text.contains("per\\_head & $1.235 \\times 10^{-4}$ \\\\"),
            "{text}"
        );
        assert!(text.contains("stacked, $W^{O}$ & -- \\\\"), "{text}");
        assert!(text.contains("{@{}lr@{}}"), "{text}");
        assert!(text.contains("\\label{tab:a-b-50}"), "{text}");
    }

    #[test]
    fn numbers_are_as_a_person_writes_them() {
        for (exact, text) in [
            ("128.5", "128.5"),
            ("128.49999", "128.5"),
            ("0.012345678", "0.01235"),
            ("20000", "20000"),
            ("0.5", "0.5"),
            ("1.2345e-7", "1.235e-7"),
            ("-3.14159", "-3.142"),
            ("0.0", "0"),
            ("6.0", "6"),
        ] {
            assert_eq!(as_written(exact), text);
        }
        assert_eq!(
            latex_math("sigma_min of W^O_h, eta beta >= 0, per_head"),
            "$\\sigma_{\\min}$ of $W^{O}_{h}$, $\\eta$ $\\beta$ $\\ge$ 0, per\\_head"
        );
    }

    #[test]
    fn a_mean_has_its_deviation() {
        let mut table = Table::new("kernels", &["kernel", "accuracy"]);
        let cell = Cell::spread((61.954, 0.412), 3);
        table.rows.push(vec![Cell::text("softmax"), cell]);
        let one = Cell::spread((60.0, 0.0), 1);
        table.rows.push(vec![Cell::text("gaussian"), one]);
        assert!(table.to_text().contains("61.95 ± 0.41"));
        assert!(
            table
                .to_latex()
                .contains("softmax & $61.95 \\pm 0.41$ \\\\")
        );
        assert_eq!(
            table.to_csv().unwrap(),
            "kernel,accuracy,accuracy sd\nsoftmax,61.954,0.412\ngaussian,60.0,0.0\n"
        );
        let markdown = table.to_markdown();
        assert!(
            markdown.contains("| softmax | 61.95 ± 0.41 |\n"),
            "{markdown}"
        );
        assert!(markdown.contains("| --- | ---: |\n"), "{markdown}");
    }

    #[test]
    fn no_cell_breaks_a_table_or_runs_in_a_spreadsheet() {
        let mut table = Table::new("[a]\n\n--b", &["[2pt]", "=x"]);
        let hostile = "*[1cm] \\end{tabular} \\\\ & \n\u{1b}[31m | `` -- \u{2603}";
        table
            .rows
            .push(vec![Cell::text(hostile), Cell::text("=HYPERLINK(\"a\")")]);
        table
            .rows
            .push(vec![Cell::text("-1"), Cell::number(Some(-1.5))]);
        let latex = table.to_latex();
        let line = latex.lines().find(|l| l.contains("cm")).unwrap();
        assert_eq!(
            line,
            "    {*}{[}1cm{]} \\textbackslash{}end\\{tabular\\} \\textbackslash{}\\textbackslash{} \\& \
             \\textbackslash{}n\\textbackslash{}u001b{[}31m \\textbar{} \\textasciigrave{}\\textasciigrave{} -{}- \
             {[}U+2603{]} & =HYPERLINK(\"a\") \\\\"
        );
        assert!(
            latex.contains("\\caption{{[}a{]}\\textbackslash{}n"),
            "{latex}"
        );
        let csv = table.to_csv().unwrap();
        assert!(csv.starts_with("[2pt],'=x\n"), "{csv}");
        assert!(csv.contains(",\"'=HYPERLINK(\"\"a\"\")\"\n"), "{csv}");
        assert!(csv.ends_with("'-1,-1.5\n"), "{csv}");
        assert!(!table.to_text().contains('\u{1b}'));
        assert_eq!(table.to_text().lines().count(), 3);
    }
}
