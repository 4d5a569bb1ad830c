//! Files as no program writes them: every reader is given seeded mutations of every kind of file and must say what is
//! wrong, or read them, but never panic, abort, or ask for more memory than the files could mean.
//!
//! The same mutations on every machine. A failure names the file, the mutation's number and where the input is kept.

#[path = "command/common.rs"]
#[allow(dead_code)] // only how the command is run
mod common;

use common::gdcert;
use flate2::{Compression, Crc, write::GzEncoder};
use gdcert::Instance;
use gdcert::certificate::check;
use gdcert::experiment::poster::{Finding, Preset, Summary, experiment};
use gdcert::experiment::summary::{Statistics, merge};
use gdcert::experiment::sweep::{Plan, Row};
use gdcert::landscape;
use gdcert::verify::VerdictFile;
use gdcert_report as report;
use gdcert_train::data::{imdb, pathfinder};
use gdcert_train::training::{Checkpoint, Settings, read_metrics};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Mutations in one process, over all readers together; GDCERT_MUTATIONS asks for another number.
const MUTATIONS: usize = 2000;
/// Mutations of each kind that the command is given.
const BY_COMMAND: usize = 6;
/// What a single allocation may ask for. The files here have a few kilobytes.
const MOST: usize = 256 << 20;
/// No reading of a small file may take longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Refuses what is too much: the process then aborts, as it would where the memory is not there.
struct Bounded;

fn allowed(size: usize) -> bool {
    size <= MOST
}

// SAFETY: every call is handed on to the system's allocator unchanged, or answered as one that has no memory.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !allowed(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !allowed(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !allowed(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, choice: &[&'a T]) -> &'a T {
        choice[self.below(choice.len())]
    }
}

/// What a number or a word may become.
const ODD: [&str; 26] = [
    "0",
    "-1",
    "1",
    "-0.0",
    "1e309",
    "-1e308",
    "5e-324",
    "1e-400",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "4294967295",
    "1048576",
    "\"\\u0000\"",
    "\"../../etc/passwd\"",
    "\"QKVQKV\"",
    "[[[[[[[[[[[[[[[[",
    "1e400000000000",
    "\u{feff}",
];

/// Bytes of any format: a bit, a byte, a range gone, twice, cut off, put elsewhere.
fn mutate_bytes(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let n = bytes.len();
    if n == 0 {
        return bytes.push(dice.next() as u8);
    }
    let at = dice.below(n);
    let end = (at + 1 + dice.below(32)).min(n);
    match dice.below(7) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = *dice.of(&[&0u8, &255, &127, &128, &b'"', &b'\n', &b'9', &b'-']),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            let to = dice.below(n);
            bytes.splice(to..to, copy);
        }
        4 => bytes.truncate(at),
        5 => bytes[at..end].reverse(),
        _ => bytes[at..end].fill(dice.next() as u8),
    }
}

/// A number or a quoted word becomes another one; else as bytes.
fn mutate_text(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
    let mut words = Vec::new();
    let mut start = None;
    for (i, &b) in bytes.iter().chain(b" ").enumerate() {
        match (start, word(b)) {
            (None, true) => start = Some(i),
            (Some(from), false) => {
                words.push(from..i);
                start = None;
            }
            _ => {}
        }
    }
    if words.is_empty() || dice.below(4) == 0 {
        return mutate_bytes(bytes, dice);
    }
    let chosen = words[dice.below(words.len())].clone();
    let other = words[dice.below(words.len())].clone();
    let new = match dice.below(3) {
        0 => bytes[other].to_vec(),
        _ => dice.of(&ODD).as_bytes().to_vec(),
    };
    bytes.splice(chosen, new);
}

/// The header of a safetensors file as text, its length mended half of the time; else its bytes.
fn mutate_tensors(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let Some(length) = bytes.first_chunk().map(|c| u64::from_le_bytes(*c) as usize) else {
        return mutate_bytes(bytes, dice);
    };
    let Some(end) = length
        .checked_add(8)
        .filter(|&end| end <= bytes.len() && dice.below(4) > 0)
    else {
        return mutate_bytes(bytes, dice);
    };
    let mut header = bytes[8..end].to_vec();
    mutate_text(&mut header, dice);
    let length = match dice.below(2) {
        0 => length as u64,
        _ => header.len() as u64,
    };
    *bytes = [&length.to_le_bytes()[..], &header, &bytes[end..]].concat();
}

/// A PNG whose chunks have sums that fit again.
fn mutate_png(bytes: &mut Vec<u8>, dice: &mut Dice) {
    mutate_bytes(bytes, dice);
    let mut at = 8;
    while let Some(head) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = at + 8 + length;
        if end + 4 > bytes.len() {
            break;
        }
        let mut crc = Crc::new();
        crc.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        at = end + 4;
    }
}

/// An archive whose packing is whole again, its members' sums too half of the time.
fn mutate_archive(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if dice.below(3) == 0 {
        return mutate_bytes(bytes, dice);
    }
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_end(&mut tar)
        .unwrap();
    // A header in three of four cases.
    let headers = tar.len() / 512;
    let at = 512 * dice.below(headers);
    if dice.below(4) > 0 {
        let field = dice.of(&[&0usize, &100, &124, &125, &135, &156, &157, &257, &345]);
        let value = dice.of(&["7", "\0", "L", "1", "x", "g", "\u{7f}", "5", "S"]);
        tar[at + field] = value.as_bytes()[0];
        if dice.below(2) == 0 {
            tar[at + 148..at + 156].fill(b' ');
            let sum: u32 = tar[at..at + 512].iter().map(|&b| u32::from(b)).sum();
            tar[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    } else {
        mutate_bytes(&mut tar, dice);
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&tar).unwrap();
    *bytes = packed.finish().unwrap();
}

type Mutate = fn(&mut Vec<u8>, &mut Dice);

type Reader = Box<dyn Fn(&Path) -> Result<(), gdcert::Error>>;

/// A file that is mutated, how, and who reads it.
struct Kind {
    name: &'static str,
    file: PathBuf,
    mutate: Mutate,
    read: Reader,
    /// The command that reads it.
    command: Vec<String>,
}

/// A page and a text of what is in a folder or file.
fn shown(place: &Path) -> Result<(), gdcert::Error> {
    let section = report::read(place)?;
    let text = report::text(&section);
    assert!(!report::page(&section, Path::new("")).unwrap().is_empty());
    assert!(text.len() < 1 << 20, "{} bytes of text", text.len());
    for table in &section.tables {
        table.to_csv().unwrap();
        table.to_latex();
    }
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap()
}

/// One of each kind of file, as the commands write them.
fn kinds(root: &Path) -> Vec<Kind> {
    let run = |args: &str| {
        let output = gdcert(root, &args.split(' ').collect::<Vec<_>>());
        assert!(
            output.status.code().is_some_and(|code| code < 2),
            "{args}: {output:?}"
        );
    };
    run("verify -N 1 -n 2 -D 4 -d 2 -H 1 --init lazy --scale 1e4 --steps 20 --out proven");
    run("verify -N 1 -n 2 -D 6 -d 3 -H 2 --steps 3000 --out tail");
    assert!(root.join("tail/centre.safetensors").is_file());
    std::fs::write(
        root.join("sweep.toml"),
        "N = 1\nn = 2\nD = 4\nd = 2\nH = [1, 2]\nkernel = [\"softmax\", \"gaussian\"]\ntrained = \"Q\"\n\
         seeds = { from = 0, to = 2 }\nsteps = 20\neta = 0.5\nlogit_scale = [1.0, 10.0]\ninit = \"lazy\"\nscale = [1.0, 3.5]\n",
    )
    .unwrap();
    run("sweep sweep.toml --out sweep");
    run("summarize sweep --out summary");
    run("data pathfinder --count 20 --out images");
    run(
        "train --task pathfinder --data images --steps 2 --batch 2 --eval-every 1 --eval-samples 2 --width 8 --heads 2 \
         --hidden 8 --blocks 1 --out train",
    );
    run("landscape -N 1 -n 2 -D 4 -d 2 -H 1 --grid 3 --out landscape");
    reproduction(root);
    archive(&root.join("reviews.tar.gz"));

    let plan: Plan = std::fs::read_to_string(root.join("sweep.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let mut kinds = Vec::new();
    type Read = Box<dyn Fn(&Path) -> Result<(), gdcert::Error>>;
    let mut add = |name, file: &str, mutate, read: Read, command: &str| {
        let command = command.split(' ').filter(|word| !word.is_empty());
        kinds.push(Kind {
            name,
            file: root.join(file),
            mutate,
            read,
            command: command.map(str::to_owned).collect(),
        });
    };
    let text: Mutate = mutate_text;
    let tensors: Mutate = mutate_tensors;
    let folder: fn(&Path) -> Result<(), gdcert::Error> = |file| shown(folder_of(file));
    add(
        "instance",
        "proven/instance.safetensors",
        tensors,
        Box::new(|file| Instance::read(file, None).map(drop)),
        "verify --instance proven/instance.safetensors --steps 2 --out again",
    );
    add(
        "certificate",
        "proven/certificate.json",
        text,
        Box::new(|file| {
            shown(folder_of(file))?;
            check(file).map(drop)
        }),
        "check proven/certificate.json",
    );
    add(
        "centre",
        "tail/centre.safetensors",
        tensors,
        Box::new(|file| check(&folder_of(file).join("certificate.json")).map(drop)),
        "check tail/certificate.json",
    );
    add(
        "verdict",
        "proven/verdict.json",
        text,
        Box::new(|file| {
            VerdictFile::read(file)?;
            shown(file)
        }),
        "explain proven/verdict.json",
    );
    add(
        "trajectory",
        "tail/trajectory.csv",
        text,
        Box::new(folder),
        "explain tail",
    );
    add(
        "run",
        "proven/run.json",
        text,
        Box::new(folder),
        "report proven",
    );
    add(
        "summary of a sweep",
        "summary/summary.json",
        text,
        Box::new(folder),
        "explain summary",
    );
    add(
        "summary of a reproduction",
        "poster/summary.json",
        text,
        Box::new(folder),
        "report poster",
    );
    add(
        "sweep",
        "sweep.toml",
        text,
        Box::new(|file| {
            let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
            text.parse::<Plan>().map(|plan| {
                plan.trials();
            })
        }),
        "",
    );
    add(
        "rows of a sweep",
        "sweep/trials-1-of-1.csv",
        text,
        Box::new(move |file| {
            let mut statistics = Statistics::new(&plan);
            let mut see = |row: &Row| statistics.add(row);
            merge(folder_of(file), &plan, &mut std::io::sink(), &mut see)?;
            statistics.json();
            Ok(())
        }),
        "summarize sweep --out summary",
    );
    add(
        "training",
        "train/config.toml",
        text,
        Box::new(|file| {
            let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
            let Ok(table) = text.parse::<toml::Table>() else {
                return Ok(());
            };
            let settings = Settings::preset(gdcert_train::data::Task::Pathfinder).overlay(table)?;
            settings.check()?;
            settings.architecture();
            settings.padded();
            Ok(())
        }),
        "",
    );
    add(
        "metrics",
        "train/metrics.csv",
        text,
        Box::new(|file| read_metrics(file).map(drop)),
        "explain train",
    );
    add(
        "checkpoint",
        "train/checkpoint-0.safetensors",
        tensors,
        Box::new(|file| Checkpoint::read(file).map(drop)),
        "landscape train/checkpoint-0.safetensors --data images --grid 1 --samples 2 --out again2",
    );
    add(
        "reviews",
        "reviews.tar.gz",
        mutate_archive,
        Box::new(|file| imdb::read(file, 64).map(drop)),
        "data imdb --from reviews.tar.gz --out again3",
    );
    let images: fn(&Path) -> Result<(), gdcert::Error> = |file| {
        pathfinder::read(file.ancestors().find(|a| a.ends_with("images")).unwrap(), 0).map(drop)
    };
    add(
        "labels",
        "images/metadata/0.npy",
        text,
        Box::new(images),
        "",
    );
    add(
        "image",
        "images/imgs/0/sample_3.png",
        mutate_png,
        Box::new(images),
        "",
    );
    add(
        "surface",
        "landscape/surface.json",
        text,
        Box::new(|file| {
            landscape::Finished::read(folder_of(file))?.json()?;
            shown(folder_of(file))
        }),
        "explain landscape",
    );
    add(
        "losses",
        "landscape/surface.csv",
        text,
        Box::new(|file| landscape::Finished::read(folder_of(file))?.json().map(drop)),
        "landscape --plot landscape --out again4",
    );
    kinds
}

/// The folder of `gdcert reproduce`, made of one verification.
fn reproduction(root: &Path) {
    let known = experiment("theorem-1-softmax", Preset::Quick).unwrap();
    let verdict = VerdictFile::read(&root.join("proven/verdict.json")).unwrap();
    let place = root.join("poster");
    let mut found = Vec::new();
    for case in &known.cases {
        let finding = Finding::new(&known, case, &place, Path::new("imdb")).of_verdict(&verdict);
        let folder = place.join(&finding.folder);
        std::fs::create_dir_all(&folder).unwrap();
        for file in std::fs::read_dir(root.join("proven")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        found.push(finding);
    }
    let mut summary = Summary::new("gdcert reproduce", Preset::Quick);
    summary.answer(&known, found);
    std::fs::write(place.join("summary.json"), summary.to_text().unwrap()).unwrap();
    let run = "{\"version\": \"0.1.0\", \"command\": \"gdcert reproduce\", \"subcommand\": \"reproduce\", \"seed\": null}";
    std::fs::write(place.join("run.json"), run).unwrap();
}

/// Eight reviews a class, as IMDb's archive has them.
fn archive(file: &Path) {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for class in ["train/neg", "train/pos", "test/neg", "test/pos"] {
        for k in 0..8 {
            let text = format!("review {k} of {class}");
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            let path = format!("aclImdb/{class}/{k}_7.txt");
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
    }
    let packed = tar.into_inner().unwrap().finish().unwrap();
    std::fs::write(file, packed).unwrap();
}

/// Mutations of one file, each from the whole file again, one to four changes.
fn mutation(whole: &[u8], kind: &Kind, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut bytes = whole.to_vec();
    for _ in 0..1 + dice.below(4) {
        // Of an archive that is none any more, bytes.
        let archive = std::ptr::fn_addr_eq(kind.mutate, mutate_archive as Mutate);
        if archive
            && flate2::read::GzDecoder::new(&bytes[..])
                .read_to_end(&mut Vec::new())
                .is_err()
        {
            mutate_bytes(&mut bytes, &mut dice);
        } else {
            (kind.mutate)(&mut bytes, &mut dice);
        }
    }
    bytes
}

/// The command says the same in one line, and exits as it should.
#[test]
fn the_command_says_it_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for (k, kind) in kinds(&root).iter().enumerate() {
        if kind.command.is_empty() {
            continue;
        }
        let whole = std::fs::read(&kind.file).unwrap();
        for i in 0..BY_COMMAND {
            let seed = (k * 1_000_003 + i) as u64;
            std::fs::write(&kind.file, mutation(&whole, kind, seed)).unwrap();
            let words: Vec<&str> = kind.command.iter().map(String::as_str).collect();
            let output = gdcert(&root, &words);
            let said = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            assert!(
                matches!(code, Some(0..=2)),
                "{} {i}: {code:?}: {said}",
                kind.name
            );
            if code == Some(2) {
                assert_eq!(said.lines().count(), 1, "{} {i}: {said}", kind.name);
            }
            assert!(!said.contains("panicked"), "{} {i}: {said}", kind.name);
        }
        std::fs::write(&kind.file, &whole).unwrap();
    }
}

#[test]
fn no_file_brings_a_reader_down() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let kinds = kinds(&root);
    let mut refused = 0;
    let asked = std::env::var("GDCERT_MUTATIONS")
        .ok()
        .and_then(|n| n.parse().ok());
    let all: usize = asked.unwrap_or(MUTATIONS);
    let each = all.div_ceil(kinds.len());
    let mut slowest = Duration::ZERO;
    for (k, kind) in kinds.iter().enumerate() {
        let whole = std::fs::read(&kind.file).unwrap();
        let untouched = (kind.read)(&kind.file);
        assert!(untouched.is_ok(), "{}: {untouched:?}", kind.name);
        for i in 0..each {
            let seed = (k * 1_000_003 + i) as u64;
            let bytes = mutation(&whole, kind, seed);
            std::fs::write(&kind.file, &bytes).unwrap();
            // Said beforehand: a process that aborts says nothing afterwards.
            let case = format!("{} {i} (seed {seed})", kind.name);
            std::fs::write(root.join("case"), &case).unwrap();
            let begun = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| (kind.read)(&kind.file)));
            let kept = || {
                let place = std::env::temp_dir().join(format!("gdcert-mutation-{seed}"));
                std::fs::write(&place, &bytes).unwrap();
                place
            };
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(e)) => {
                    refused += 1;
                    assert!(!e.to_string().is_empty(), "{case}");
                }
                Err(_) => panic!("{case}: a panic; the file is kept at {}", kept().display()),
            }
            let spent = begun.elapsed();
            slowest = slowest.max(spent);
            assert!(spent < PATIENCE, "{case}: {spent:?}; {}", kept().display());
        }
        std::fs::write(&kind.file, &whole).unwrap();
    }
    // Most mutations break a file; that some do not shows that they reach beyond the first check.
    assert!(
        refused > all / 3 && refused < each * kinds.len(),
        "{refused}"
    );
    println!(
        "{refused} of {} refused, the slowest in {slowest:?}",
        each * kinds.len()
    );
}
