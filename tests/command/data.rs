//! The data sets: reading, making, getting them, and what is refused.

use crate::common::{gdcert, refused};
use flate2::{Compression, write::GzEncoder};
use gdcert_train::data::{Dataset, download, imdb, pathfinder};
use pathfinder::{Difficulty, SIDE};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

#[track_caller]
fn complains<T>(result: gdcert::Result<T>, words: &[&str]) {
    let Err(error) = result else {
        panic!("accepted; expected {words:?}");
    };
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no '{word}' in: {message}");
    }
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(name);
    if !path.exists() {
        eprintln!("skipped: no {}", path.display());
        return None;
    }
    Some(path)
}

// IMDb.

const REVIEWS: [(&str, &[u8]); 6] = [
    ("train/pos/0_9.txt", b"Good.<br />"),
    ("train/pos/10_7.txt", b"fine \xff"),
    ("train/neg/1_1.txt", b"Bad, very bad."),
    ("test/pos/3_8.txt", b"I like it"),
    ("test/neg/4_2.txt", b"no"),
    ("test/neg/5_3.txt", b" \n"),
];

/// Files that are in the archive but are no labelled reviews.
const OTHERS: [&str; 3] = ["README", "train/unsup/7_0.txt", "train/pos/list.feat"];

fn imdb_folder(root: &Path) {
    let files = REVIEWS.into_iter().chain(OTHERS.map(|o| (o, &b"?"[..])));
    for (name, bytes) in files {
        let path = root.join("aclImdb").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn imdb_archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    // Another order than the folder's.
    let others = OTHERS.map(|o| (o, &b"?"[..]));
    for (name, bytes) in others.into_iter().chain(REVIEWS).rev() {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("aclImdb/{name}"), bytes)
            .unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn folder_and_archive_hold_the_same_reviews() {
    let dir = tempfile::tempdir().unwrap();
    imdb_folder(dir.path());
    let archive = dir.path().join("small.tar.gz");
    std::fs::write(&archive, imdb_archive()).unwrap();
    let found = imdb::read(&dir.path().join("aclImdb"), 100).unwrap();
    for source in [dir.path(), &archive] {
        let again = imdb::read(source, 100).unwrap();
        assert_eq!(again.data, found.data);
        assert_eq!(
            (again.counts, again.empty),
            (found.counts.clone(), found.empty.clone())
        );
    }
    assert_eq!(found.empty, ["test/neg/5_3.txt"]);
    assert_eq!(found.counts["train/pos"], 2);
    assert_eq!(found.counts["test/neg"], 1);
    let train: Vec<_> = found
        .data
        .train
        .iter()
        .map(|s| (&s.bytes[..], s.label))
        .collect();
    assert_eq!(
        train,
        [
            (&b"Bad, very bad."[..], 0),
            (b"Good.<br />", 1),
            (b"fine \xff", 1)
        ]
    );
    assert_eq!(found.data.shift, 1);
    // Truncation.
    let short = imdb::read(&archive, 4).unwrap();
    assert_eq!(&short.data.train[0].bytes[..], b"Bad,");
}

#[test]
fn incomplete_reviews_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    imdb_folder(dir.path());
    let archive = dir.path().join("small.tar.gz");
    let bytes = imdb_archive();
    for cut in [bytes.len() - 1, bytes.len() / 2, 11, 0] {
        std::fs::write(&archive, &bytes[..cut]).unwrap();
        complains(imdb::read(&archive, 9), &["small.tar.gz", "get it anew"]);
    }
    std::fs::write(&archive, b"not an archive at all").unwrap();
    complains(
        imdb::read(&archive, 9),
        &["small.tar.gz", "no whole tar.gz"],
    );

    let folder = dir.path().join("aclImdb");
    std::fs::remove_dir_all(folder.join("test/pos")).unwrap();
    complains(imdb::read(&folder, 9), &["test/pos", "class folder"]);
    std::fs::create_dir(folder.join("test/pos")).unwrap();
    complains(imdb::read(&folder, 9), &["no reviews", "test/pos"]);
    complains(
        imdb::read(&folder.join("train"), 9),
        &["neither aclImdb/ nor"],
    );
    complains(
        imdb::read(&dir.path().join("nowhere"), 9),
        &["nowhere", "gdcert data imdb"],
    );
}

/// A tar with these members: name, kind, content.
fn tarred(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.set_link_name("0_9.txt").unwrap();
        }
        tar.append_data(&mut header, format!("aclImdb/{name}"), *bytes)
            .unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

fn regular() -> Vec<(&'static str, tar::EntryType, &'static [u8])> {
    let kind = tar::EntryType::Regular;
    REVIEWS.map(|(name, bytes)| (name, kind, bytes)).into()
}

/// What is not a review of its own: hidden files, links, earlier versions. Each was counted.
#[test]
fn only_regular_reviews_are_counted_and_each_once() {
    use tar::EntryType::{Link, Regular, Symlink};
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.tar.gz");
    let plain = gzipped(&tarred(&regular()));
    std::fs::write(&archive, &plain).unwrap();
    let expected = imdb::read(&archive, 100).unwrap();
    assert!(expected.notes.is_empty());
    let mut members = vec![("train/pos/10_7.txt", Regular, &b"an older version"[..])];
    members.extend(regular());
    members.extend([
        ("train/pos/._0_9.txt", Regular, &b"Mac OS X"[..]),
        ("test/neg/.hidden.txt", Regular, b"?"),
        ("train/neg/2_2.txt", Symlink, b""),
        ("train/neg/3_2.txt", Link, b""),
    ]);
    let bytes = tarred(&members);
    // In one gzip member; in two, cut anywhere; with zeros after it, as on a tape.
    let (front, back) = bytes.split_at(bytes.len() / 3);
    let two = [gzipped(front), gzipped(back)].concat();
    let padded = [&two[..], &[0; 700]].concat();
    for file in [gzipped(&bytes), two, padded] {
        std::fs::write(&archive, file).unwrap();
        let found = imdb::read(&archive, 100).unwrap();
        assert_eq!(found.data, expected.data);
        assert_eq!(found.counts, expected.counts);
        assert_eq!(found.empty, ["test/neg/5_3.txt"]);
        let note = found.note().unwrap();
        for words in [
            "2 hidden files left out: train/pos/._0_9.txt, test/neg/.hidden.txt",
            "2 links and other files that are not regular left out: train/neg/2_2.txt",
            "1 members stored more than once, of which the last counts: train/pos/10_7.txt",
        ] {
            assert!(note.contains(words), "{note}");
        }
    }
    // A second archive behind the first one's end is not read, as tar does not: said, not silent.
    let both = [bytes, tarred(&[("train/pos/77_9.txt", Regular, b"more")])].concat();
    std::fs::write(&archive, gzipped(&both)).unwrap();
    let found = imdb::read(&archive, 100).unwrap();
    assert_eq!(found.counts, expected.counts);
    assert!(found.note().unwrap().contains("--ignore-zeros"));
    std::fs::write(&archive, [&plain[..], b"garbage"].concat()).unwrap();
    complains(imdb::read(&archive, 9), &["a.tar.gz", "no whole tar.gz"]);

    // Unpacked, and with the hidden copy of an archive beside one.
    let folder = dir.path().join("aclImdb");
    imdb_folder(dir.path());
    std::fs::write(folder.join("train/pos/._0_9.txt"), "Mac OS X").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("0_9.txt", folder.join("train/pos/9_9.txt")).unwrap();
    let found = imdb::read(&folder, 100).unwrap();
    assert_eq!(found.data, expected.data);
    let note = found.note().unwrap();
    assert!(
        note.contains("1 hidden files left out: train/pos/._0_9.txt"),
        "{note}"
    );
    #[cfg(unix)]
    assert!(
        note.contains("not regular left out: train/pos/9_9.txt"),
        "{note}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&archive, &plain).unwrap();
    std::fs::write(dir.path().join("._a.tar.gz"), "Mac OS X").unwrap();
    assert_eq!(imdb::read(dir.path(), 100).unwrap().data, expected.data);
}

/// Three megabytes that would unpack to three gigabytes: refused by what the header says.
#[test]
fn endless_reviews_are_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.tar.gz");
    let mut header = tar::Header::new_gnu();
    header.set_path("aclImdb/train/pos/1_9.txt").unwrap();
    header.set_size(3 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    std::fs::write(&archive, gzipped(header.as_bytes())).unwrap();
    complains(
        imdb::read(&archive, 9),
        &["a.tar.gz", "train/pos/1_9.txt", "1 MB"],
    );
    imdb_folder(dir.path());
    let long = dir.path().join("aclImdb/train/pos/1_9.txt");
    std::fs::write(&long, vec![b'a'; (1 << 20) + 1]).unwrap();
    complains(
        imdb::read(&dir.path().join("aclImdb"), 9),
        &["1_9.txt", "1 MB"],
    );
    std::fs::write(&long, vec![b'a'; 1 << 20]).unwrap();
    assert!(imdb::read(&dir.path().join("aclImdb"), 9).is_ok());
}

#[test]
fn archives_that_were_misread_are_counted_right() {
    for name in ["09-appledouble", "10-gzip-two-members", "11-member-twice"] {
        let Some(file) = shared(&format!("../inputs/{name}.tar.gz")) else {
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let from = file.to_str().unwrap();
        let args = ["data", "imdb", "--from", from, "--json", "--out", "imdb"];
        let output = gdcert(dir.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        for class in ["train/neg", "train/pos", "test/neg", "test/pos"] {
            assert_eq!(found["reviews"][class], 40, "{name}: {found}");
        }
        let notes = found["notes"].as_array().unwrap().len();
        assert_eq!(
            notes,
            usize::from(name != "10-gzip-two-members"),
            "{name}: {found}"
        );
    }
}

#[test]
fn the_real_reviews_are_all_there() {
    let Some(archive) = shared("aclImdb_subset.tar.gz") else {
        return;
    };
    let found = imdb::read(&archive, 1000).unwrap();
    let counts: Vec<_> = found.counts.into_iter().collect();
    let expected = [
        ("test/neg", 10_000),
        ("test/pos", 10_000),
        ("train/neg", 12_500),
        ("train/pos", 12_500),
    ];
    assert_eq!(counts, expected.map(|(class, n)| (class.to_owned(), n)));
    assert!(found.empty.is_empty());
    assert_eq!(found.data.train.len(), 25_000);
    assert!(found.data.test.iter().all(|s| s.bytes.len() <= 1000));
}

#[test]
fn a_copy_of_the_archive_is_taken_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine.tar.gz"), imdb_archive()).unwrap();
    let output = gdcert(
        dir.path(),
        &["data", "imdb", "--from", "mine.tar.gz", "--out", "imdb"],
    );
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("not the official archive"), "{said}");
    assert!(
        said.contains("1 empty reviews left out: test/neg/5_3.txt"),
        "{said}"
    );
    let mut names: Vec<_> = std::fs::read_dir(dir.path().join("imdb"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["aclImdb_v1.tar.gz", "data.json", "run.json"]);
    assert!(imdb::read(&dir.path().join("imdb"), 5).is_ok());

    std::fs::write(dir.path().join("cut.tar.gz"), &imdb_archive()[..100]).unwrap();
    refused(
        dir.path(),
        &["data", "imdb", "--from", "cut.tar.gz", "--out", "other"],
        &["cut.tar.gz", "get it anew"],
    );
    assert!(!dir.path().join("other").exists());
    refused(
        dir.path(),
        &["data", "imdb", "--from", "imdb"],
        &["is a folder", "--data"],
    );
}

// Download.

/// A server of one file that understands `Range: bytes=N-` and hangs up after `cuts[i]` bytes of the
/// i-th answer. Notes where each request began.
struct Server {
    url: String,
    begun: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    fn start(file: Vec<u8>, cuts: Vec<usize>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/reviews.tar.gz", listener.local_addr().unwrap());
        let begun = Arc::new(Mutex::new(Vec::new()));
        let log = begun.clone();
        std::thread::spawn(move || {
            let mut cuts = cuts.into_iter();
            for stream in listener.incoming() {
                // A client that goes away ends its own answer only.
                let _ = answer(stream.unwrap(), &file, cuts.next(), &log);
            }
        });
        Server { url, begun }
    }

    fn begun(&self) -> Vec<usize> {
        self.begun.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    file: &[u8],
    cut: Option<usize>,
    log: &Mutex<Vec<usize>>,
) -> std::io::Result<()> {
    let mut first = 0;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if let Some(range) = line.strip_prefix("Range: bytes=") {
            first = range.trim_end_matches('-').parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().unwrap().push(first);
    if first >= file.len() {
        return write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let rest = &file[first..];
    let status = if first == 0 {
        "200 OK".to_owned()
    } else {
        format!(
            "206 Partial Content\r\nContent-Range: bytes {first}-{}/{}",
            file.len() - 1,
            file.len()
        )
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        rest.len()
    )?;
    stream.write_all(&rest[..cut.unwrap_or(usize::MAX).min(rest.len())])
}

fn md5(folder: &Path, bytes: &[u8]) -> String {
    let path = folder.join("whole");
    std::fs::write(&path, bytes).unwrap();
    download::md5_of(&path).unwrap()
}

#[test]
fn a_download_that_is_cut_off_continues_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = imdb_archive();
    let server = Server::start(bytes.clone(), vec![100, 50]);
    let sum = md5(dir.path(), &bytes);
    let output = gdcert(
        dir.path(),
        &[
            "data",
            "imdb",
            "--url",
            &server.url,
            "--md5",
            &sum,
            "--out",
            "imdb",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.begun(), [0, 100, 150]);
    let got = std::fs::read(dir.path().join("imdb/aclImdb_v1.tar.gz")).unwrap();
    assert_eq!(got, bytes);

    // A second run finds everything there.
    let again = gdcert(
        dir.path(),
        &[
            "data",
            "imdb",
            "--url",
            &server.url,
            "--md5",
            &sum,
            "--out",
            "imdb",
        ],
    );
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(server.begun().len(), 3);
}

#[test]
fn a_later_run_continues_a_download() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = imdb_archive();
    let sum = md5(dir.path(), &bytes);
    // 120 bytes, then nothing any more.
    let server = Server::start(bytes.clone(), vec![120, 0, 0, 0]);
    let args = [
        "data",
        "imdb",
        "--url",
        &server.url,
        "--md5",
        &sum,
        "--out",
        "imdb",
    ];
    refused(
        dir.path(),
        &args,
        &["after 120 bytes", "run the command again", "--from"],
    );
    let output = gdcert(dir.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.begun(), [0, 120, 120, 120, 120]);

    // What is whole already needs no server.
    let part = dir.path().join("imdb/aclImdb_v1.tar.gz.part");
    std::fs::rename(dir.path().join("imdb/aclImdb_v1.tar.gz"), &part).unwrap();
    let output = gdcert(dir.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.begun().len(), 5);
}

#[test]
fn a_wrong_checksum_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(imdb_archive(), vec![]);
    refused(
        dir.path(),
        &["data", "imdb", "--url", &server.url, "--out", "imdb"],
        &["MD5", download::IMDB_MD5, "deleted"],
    );
    assert!(!dir.path().join("imdb/aclImdb_v1.tar.gz").exists());
    assert!(!dir.path().join("imdb/aclImdb_v1.tar.gz.part").exists());
}

#[test]
fn a_download_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(imdb_archive(), vec![100]);
    let target = dir.path().join("reviews");
    let stopped = download::download(&server.url, "0", &target, &mut |bytes| {
        if bytes >= 100 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(gdcert::Error::Cancelled)));
    assert!(!target.exists());
}

// Pathfinder.

fn make(folder: &Path, difficulty: Difficulty, count: usize, seed: u64) {
    pathfinder::write(folder, difficulty, count, seed, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
}

#[test]
fn images_are_written_as_long_range_arena_has_them_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "data",
        "pathfinder",
        "--difficulty",
        "curv_contour_length_9",
        "--count",
        "1012",
        "--seed",
        "5",
        "--out",
    ];
    let output = gdcert(
        dir.path(),
        &[&args[..], &["one", "--threads", "1"]].concat(),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    gdcert(
        dir.path(),
        &[&args[..], &["two", "--threads", "2"]].concat(),
    );
    let at = |file: &str| std::fs::read(dir.path().join(file)).unwrap();
    let lines = String::from_utf8(at("one/metadata/1.npy")).unwrap();
    assert_eq!(lines.lines().count(), 12);
    let image = pathfinder::image(Difficulty::Length9, 5, 1003);
    assert_eq!(
        lines.lines().nth(3).unwrap(),
        format!("imgs/1 sample_3.png 3 {} 1.0 9 3 2 0.5 1 1", image.label)
    );
    for file in [
        "metadata/0.npy",
        "imgs/0/sample_999.png",
        "imgs/1/sample_3.png",
    ] {
        assert_eq!(at(&format!("one/{file}")), at(&format!("two/{file}")));
    }

    let data = pathfinder::read(&dir.path().join("one"), 0).unwrap();
    let sizes = [data.train.len(), data.dev.len(), data.test.len()];
    assert_eq!(sizes, [809, 101, 102]);
    assert_eq!(data, pathfinder::read(&dir.path().join("two"), 0).unwrap());
    let all: Vec<_> = [&data.train, &data.dev, &data.test]
        .into_iter()
        .flatten()
        .collect();
    assert!(
        all.iter()
            .any(|s| s.bytes[..] == image.pixels[..] && s.label == image.label)
    );

    // A smaller set in the same folder replaces the larger one.
    make(&dir.path().join("one"), Difficulty::Length9, 30, 6);
    assert!(!dir.path().join("one/imgs/1").exists());
    let data = pathfinder::read(&dir.path().join("one"), 0).unwrap();
    assert_eq!(data.train.len() + data.dev.len() + data.test.len(), 30);
}

#[test]
fn a_set_that_is_stopped_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stopped = pathfinder::write(dir.path(), Difficulty::Baseline, 500, 0, &mut |done| {
        if done >= 200 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(gdcert::Error::Cancelled)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn flags_that_make_no_images_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let with = |more: &[&'static str]| [&["data", "pathfinder"], more].concat();
    refused(dir.path(), &with(&["--count", "0"]), &["--count 0"]);
    refused(dir.path(), &with(&["--count", "-3"]), &["whole number"]);
    refused(
        dir.path(),
        &with(&["--difficulty", "hard"]),
        &["hard", "curv_contour_length_14"],
    );
    assert!(!dir.path().join("gdcert-out/data").exists());
}

fn encode(width: u32, height: u32, color: png::ColorType, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(color);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(bytes).unwrap();
    drop(writer);
    out
}

#[test]
fn bad_images_and_labels_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), Difficulty::Baseline, 3, 0);
    let image = dir.path().join("imgs/0/sample_1.png");
    let good = std::fs::read(&image).unwrap();
    let read = || pathfinder::read(dir.path(), 0);
    let grey = png::ColorType::Grayscale;
    let cases: [(Vec<u8>, &[&str]); 7] = [
        (encode(32, 31, grey, &[0; 32 * 31]), &["32 x 31", "square"]),
        (
            encode(32, 32, png::ColorType::Rgb, &[0; 3 * 32 * 32]),
            &["Rgb", "8-bit grey"],
        ),
        (encode(16, 16, grey, &[0; 256]), &["16 x 16", "32 x 32"]),
        (good[..good.len() - 20].to_vec(), &["no whole PNG"]),
        (good[..good.len() / 2].to_vec(), &["no whole PNG"]),
        (Vec::new(), &["no whole PNG"]),
        (b"GIF89a".to_vec(), &["no whole PNG"]),
    ];
    for (bytes, words) in cases {
        std::fs::write(&image, bytes).unwrap();
        complains(read(), &[&["sample_1.png"], words].concat());
    }
    std::fs::remove_file(&image).unwrap();
    complains(read(), &["sample_1.png", "cannot be read"]);
    std::fs::write(&image, good).unwrap();

    let labels = dir.path().join("metadata/0.npy");
    let lines = std::fs::read_to_string(&labels).unwrap();
    let set = |line: &str| std::fs::write(&labels, format!("{lines}{line}\n")).unwrap();
    set("imgs/0 sample_1.png 3 2 1.0");
    complains(read(), &["0.npy", "line 4", "'2'", "0 or 1"]);
    set("imgs/0 sample_1.png 3");
    complains(read(), &["0.npy", "line 4", "3 fields"]);
    std::fs::write(&labels, "\n").unwrap();
    complains(read(), &["no image"]);
    std::fs::write(&labels, b"\x93NUMPY\xff\xfe").unwrap();
    complains(read(), &["0.npy", "the labels", "UTF-8"]);
    std::fs::remove_dir_all(dir.path().join("metadata")).unwrap();
    complains(read(), &["no Pathfinder folder", "metadata/"]);
}

/// Mean and its standard error.
/// Each image once, whatever it is called; one with two labels belongs to neither class.
#[test]
fn images_listed_twice_are_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), Difficulty::Baseline, 30, 0);
    let once = pathfinder::read(dir.path(), 0).unwrap();
    let labels = dir.path().join("metadata/0.npy");
    let lines = std::fs::read_to_string(&labels).unwrap();
    std::fs::write(
        &labels,
        lines.clone() + &lines.replace("imgs/0", "imgs/./0"),
    )
    .unwrap();
    let (data, notes) = pathfinder::read_with_notes(dir.path(), 0).unwrap();
    assert_eq!(data, once);
    assert!(
        notes[0].starts_with("30 images listed more than once"),
        "{notes:?}"
    );
    // In a second file, with another label.
    std::fs::write(&labels, &lines).unwrap();
    let label = lines.split_whitespace().nth(3).unwrap();
    let other = if label == "0" { "1" } else { "0" };
    let more = dir.path().join("metadata/1.npy");
    std::fs::write(&more, format!("imgs/0 sample_0.png 0 {other} 1.0\n")).unwrap();
    complains(
        pathfinder::read(dir.path(), 0),
        &["1.npy", "line 1", "sample_0.png", "another one before"],
    );
    std::fs::remove_file(&more).unwrap();
    // What macOS leaves is no metadata.
    std::fs::write(dir.path().join("metadata/._0.npy"), b"\0\xff").unwrap();
    assert_eq!(pathfinder::read(dir.path(), 0).unwrap(), once);
    // A copy under another name is one image for those who test.
    let images = dir.path().join("imgs/0");
    std::fs::copy(images.join("sample_0.png"), images.join("sample_1.png")).unwrap();
    let (_, notes) = pathfinder::read_with_notes(dir.path(), 0).unwrap();
    assert!(notes[0].contains("1 images are copies"), "{notes:?}");
}

/// Some broken images are named and left out, as empty reviews are; many refuse the folder.
#[test]
fn broken_images_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), Difficulty::Baseline, 40, 0);
    let image = |k: usize| dir.path().join(format!("imgs/0/sample_{k}.png"));
    let good = std::fs::read(image(3)).unwrap();
    std::fs::write(image(3), "").unwrap();
    std::fs::write(image(4), &good[..good.len() / 2]).unwrap();
    std::fs::remove_file(image(5)).unwrap();
    let (data, notes) = pathfinder::read_with_notes(dir.path(), 0).unwrap();
    assert_eq!(data.train.len() + data.dev.len() + data.test.len(), 37);
    assert!(
        notes[0].starts_with("3 images left out") && notes[0].contains("imgs/0/sample_3.png"),
        "{notes:?}"
    );
    // A header may claim any size.
    let claim = |side: u32| {
        let mut header = [
            &b"IHDR"[..],
            &side.to_be_bytes(),
            &side.to_be_bytes(),
            &[8, 0, 0, 0, 0],
        ]
        .concat();
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        header.extend(crc.sum().to_be_bytes());
        let end = [0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82];
        let data = [0, 0, 0, 0, 0x49, 0x44, 0x41, 0x54, 0x35, 0xaf, 0x06, 0x1e];
        [&b"\x89PNG\r\n\x1a\n\0\0\0\r"[..], &header, &data, &end].concat()
    };
    std::fs::write(image(6), claim(4000)).unwrap();
    let (_, notes) = pathfinder::read_with_notes(dir.path(), 0).unwrap();
    assert!(notes[0].starts_with("4 images left out"), "{notes:?}");
    std::fs::write(image(6), claim(1_000_000)).unwrap();
    complains(
        pathfinder::read(dir.path(), 0),
        &["sample_6.png", "1000000", "4096"],
    );
    for k in 6..20 {
        std::fs::write(image(k), "").unwrap();
    }
    complains(
        pathfinder::read(dir.path(), 0),
        &["sample_3.png", "no whole PNG"],
    );
}

/// When the new images can not be put in place the old ones are still there, with their labels.
#[cfg(unix)]
#[test]
fn a_folder_of_images_is_replaced_as_a_whole() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), Difficulty::Baseline, 30, 0);
    let before = pathfinder::read(dir.path(), 0).unwrap();
    let imgs = dir.path().join("imgs");
    let mode =
        |mode| std::fs::set_permissions(&imgs, std::fs::Permissions::from_mode(mode)).unwrap();
    // A folder that may not be written can not be moved out of its parent, except by root.
    mode(0o555);
    let done = pathfinder::write(dir.path(), Difficulty::Baseline, 20, 1, &mut |_| {
        ControlFlow::Continue(())
    });
    let there = std::fs::metadata(&imgs).unwrap().permissions().mode() & 0o777;
    mode(0o755);
    let after = pathfinder::read(dir.path(), 0).unwrap();
    match done {
        Err(_) => assert_eq!((after, there), (before, 0o555)),
        Ok(()) => assert_eq!(after.train.len() + after.dev.len() + after.test.len(), 20),
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// Sizes that no disk has.
#[test]
fn absurd_counts_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let count = ["data", "pathfinder", "--count", "18446744073709551615"];
    refused(
        dir.path(),
        &count,
        &["--count 18446744073709551615", "100000000"],
    );
    assert!(!dir.path().join("gdcert-out").exists());
}

fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// The distance of the two brightest squares of 3 x 3 pixels: the markers, as a rule.
fn between_markers(pixels: &[u8]) -> f64 {
    let sum = |y: usize, x: usize| -> u32 {
        (0..9)
            .map(|i| u32::from(pixels[(y + i / 3) * SIDE + x + i % 3]))
            .sum()
    };
    let places = 0..(SIDE - 2) * (SIDE - 2);
    let at = |i: usize| (i / (SIDE - 2), i % (SIDE - 2));
    let apart = |a: usize, b: usize| {
        let ((y, x), (v, u)) = (at(a), at(b));
        ((y as f64 - v as f64).powi(2) + (x as f64 - u as f64).powi(2)).sqrt()
    };
    let brightness = |&i: &usize| {
        let (y, x) = at(i);
        sum(y, x)
    };
    let first = places.clone().max_by_key(brightness).unwrap();
    let second = places
        .filter(|i| apart(first, *i) > 3.0)
        .max_by_key(brightness)
        .unwrap();
    apart(first, second)
}

/// The statistics of 1200 images of the original program, for each difficulty, within 4.5 standard errors:
/// 15 comparisons then fail by chance once in 10,000 runs of other seeds.
#[test]
fn images_are_distributed_as_those_of_the_original_program() {
    let Some(archive) = shared("pathfinder32_sample.tar.gz") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::open(archive).unwrap();
    tar::Archive::new(flate2::read::GzDecoder::new(file))
        .unpack(dir.path())
        .unwrap();
    for difficulty in Difficulty::ALL {
        let original = dir.path().join("pathfinder32").join(difficulty.name());
        let mine = tempfile::tempdir().unwrap();
        make(mine.path(), difficulty, 1200, 1);
        let line = |folder: &Path| {
            let file = std::fs::File::open(folder.join("metadata/0.npy")).unwrap();
            let line = BufReader::new(file).lines().next().unwrap().unwrap();
            let fields: Vec<_> = line.split(' ').map(str::to_owned).collect();
            // Continuity, contour length, distractor length and so on.
            fields[4..].to_vec()
        };
        assert_eq!(line(mine.path()), line(&original));

        let all = |folder: &Path| {
            let Dataset {
                train, dev, test, ..
            } = pathfinder::read(folder, 0).unwrap();
            [train, dev, test].concat()
        };
        let (original, mine) = (all(&original), all(mine.path()));
        let share = |bytes: &[u8], level: u8| {
            bytes.iter().filter(|b| **b > level).count() as f64 / bytes.len() as f64
        };
        type Statistic<'a> = (&'a str, &'a dyn Fn(&gdcert_train::data::Sample) -> f64);
        let statistics: [Statistic; 5] = [
            ("lit", &|s| share(&s.bytes, 0)),
            // The length of all contours together.
            ("ink", &|s| share(&s.bytes, 60)),
            ("grey", &|s| {
                s.bytes.iter().map(|b| f64::from(*b)).sum::<f64>() / s.bytes.len() as f64
            }),
            ("label", &|s| f64::from(s.label)),
            ("markers", &|s| between_markers(&s.bytes)),
        ];
        for (name, statistic) in statistics {
            let (a, da) = mean(original.iter().map(statistic));
            let (b, db) = mean(mine.iter().map(statistic));
            let z = (a - b) / da.hypot(db);
            eprintln!(
                "{} {name}: {a:.4} against {b:.4}, z = {z:.2}",
                difficulty.name()
            );
            assert!(z.abs() < 4.5, "{} {name}", difficulty.name());
        }
    }
}

/// Images that gdcert did not make are not replaced, whatever is asked.
#[test]
fn a_user_s_own_images_stay() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("mine/imgs")).unwrap();
    std::fs::write(dir.path().join("mine/imgs/cat.png"), "cat").unwrap();
    let args = [
        "data",
        "pathfinder",
        "--count",
        "3",
        "--out",
        "mine",
        "--force",
    ];
    crate::common::refused(dir.path(), &args, &["imgs", "not made by gdcert"]);
    assert!(dir.path().join("mine/imgs/cat.png").exists());
    let count = ["data", "pathfinder", "--count", "18446744073709551615"];
    crate::common::refused(dir.path(), &count, &["--count", "between 1 and"]);
}
