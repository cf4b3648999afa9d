use std::error::Error;
use std::fs;
use std::io;

use tempfile::TempDir;

use super::*;
use crate::text::{NotText, count_words, merge};

/// A directory with these files.
fn tree(files: &[(&str, &[u8])]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    root
}

fn names(corpus: &Corpus, root: &TempDir) -> Vec<String> {
    let relative = |file: &TextFile| file.path().strip_prefix(root.path()).unwrap().to_owned();
    let name = |path: PathBuf| path.display().to_string();
    corpus.files().iter().map(relative).map(name).collect()
}

fn reasons(corpus: &Corpus, root: &TempDir) -> Vec<(String, SkipReason)> {
    let entry = |skipped: &Skipped| {
        let path = skipped.path.strip_prefix(root.path()).unwrap();
        (path.display().to_string(), skipped.reason)
    };
    corpus.skipped().iter().map(entry).collect()
}

#[test]
fn a_walk_is_sorted_and_skips_what_is_no_source() {
    let root = tree(&[
        ("b.txt", b"b"),
        ("a/z.txt", b"z"),
        ("a/.hidden-file", b"h"),
        ("a.txt", b"a"),
        (".git/config", b"no"),
        ("target/debug/x.d", b"no"),
        ("deep/target/x", b"no"),
        ("image.png", b"\x89PNG\0"),
        ("latin1.txt", b"caf\xe9 "),
        ("empty", b""),
    ]);
    let corpus = Corpus::gather(&[root.path()]).unwrap();
    assert_eq!(names(&corpus, &root), ["a/.hidden-file", "a/z.txt", "a.txt", "b.txt", "empty"]);
    assert_eq!(
        reasons(&corpus, &root),
        [
            (".git".to_owned(), SkipReason::HiddenDirectory),
            ("deep/target".to_owned(), SkipReason::BuildDirectory),
            ("target".to_owned(), SkipReason::BuildDirectory),
            ("image.png".to_owned(), SkipReason::Binary(NotText::InvalidUtf8 { offset: 0 })),
            ("latin1.txt".to_owned(), SkipReason::Binary(NotText::InvalidUtf8 { offset: 3 })),
        ]
    );
    assert_eq!(corpus.bytes(), 4);
    assert_eq!(corpus.skipped()[4].reason.to_string(), "binary, invalid UTF-8 at offset 3");
}

#[test]
fn an_input_is_taken_whatever_its_name_and_once() {
    let root = tree(&[("target/.cache/a.txt", b"a"), ("b.txt", b"b")]);
    let cache = root.path().join("target/.cache");
    let file = root.path().join("b.txt");
    let corpus = Corpus::gather(&[&file, &cache, &file, &cache]).unwrap();
    assert_eq!(names(&corpus, &root), ["b.txt", "target/.cache/a.txt"]);
    let repeated = |name: &str| (name.to_owned(), SkipReason::Repeated);
    assert_eq!(reasons(&corpus, &root), [repeated("b.txt"), repeated("target/.cache")]);
}

#[cfg(unix)]
#[test]
fn links_never_loop() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    let root = tree(&[("dir/a.txt", b"a")]);
    let at = |name: &str| root.path().join(name);
    symlink(root.path(), at("dir/up")).unwrap();
    symlink(at("self"), at("self")).unwrap();
    symlink(at("nowhere"), at("broken")).unwrap();
    symlink(at("dir/a.txt"), at("link.txt")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();

    let corpus = Corpus::gather(&[root.path()]).unwrap();
    assert_eq!(names(&corpus, &root), ["dir/a.txt"]);
    assert_eq!(
        reasons(&corpus, &root),
        [
            ("broken".to_owned(), SkipReason::BrokenLink),
            ("dir/up".to_owned(), SkipReason::LinkedDirectory),
            ("link.txt".to_owned(), SkipReason::Repeated),
            ("self".to_owned(), SkipReason::BrokenLink),
            ("socket".to_owned(), SkipReason::SpecialFile),
        ]
    );
    let corpus = Corpus::gather(&[at("dir/up")]).unwrap();
    assert_eq!(corpus.files().len(), 1);
    let error = Corpus::gather(&[at("socket")]).unwrap_err();
    assert!(matches!(error, CorpusError::NotAFile { .. }), "{error}");
}

#[test]
fn chunks_count_like_the_files_and_can_be_read_again() {
    let long = "lorem ipsum, dolor's “sit” amet\n".repeat(9_000);
    let root = tree(&[("1", b"no end of line"), ("2", b"begins a file"), ("3", b""), ("4", long.as_bytes())]);
    let corpus = Corpus::gather(&[root.path()]).unwrap();
    let expected = corpus.count().unwrap();
    assert_eq!(expected["line"], 1);
    assert_eq!(expected["dolor's"], 9_000);
    for target in [1, 100, 4096, 1 << 20] {
        let mut merged = Counts::new();
        let mut bytes = 0;
        let mut file = 0;
        for chunk in corpus.chunks(target) {
            let chunk = chunk.unwrap();
            assert!(chunk.file >= file);
            file = chunk.file;
            bytes += chunk.text.len() as u64;
            merge(&mut merged, count_words(&chunk.text));
        }
        assert_eq!(bytes, corpus.bytes());
        assert_eq!(merged, expected, "chunks of {target} bytes");
    }
}

#[test]
fn a_file_that_changes_is_an_error() {
    let root = tree(&[("a", b"one two"), ("b", b"three")]);
    let corpus = Corpus::gather(&[root.path()]).unwrap();
    let path = root.path().join("b");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    for bytes in [b"three four".as_slice(), b"thr", b"th\0ee", b"th\xffee"] {
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(modified)).unwrap();
        let results: Vec<_> = corpus.chunks(100).collect();
        assert!(matches!(results[0], Ok(Chunk { file: 0, .. })));
        let last = results.last().unwrap();
        assert!(matches!(last, Err(CorpusError::Changed { path: p }) if *p == path));
        assert!(matches!(corpus.count(), Err(CorpusError::Changed { .. })));
    }
    fs::write(&path, b"three").unwrap();
    let later = modified + std::time::Duration::from_secs(1);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(later).unwrap();
    assert!(matches!(corpus.count(), Err(CorpusError::Changed { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(corpus.count(), Err(CorpusError::Changed { .. })));
}

#[test]
fn errors_are_one_line_that_says_what_to_do() {
    let none: [&Path; 0] = [];
    let error = Corpus::gather(&none).unwrap_err();
    assert_eq!(error.to_string(), "nothing to count: name a file or a directory");

    let error = Corpus::gather(&["/no/such/place"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no file or directory `/no/such/place`: correct the path or create it"
    );

    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let error = CorpusError::from_io(Path::new("secret"), denied);
    assert_eq!(
        format!("{error}: {}", error.source().unwrap()),
        "cannot read `secret`, give access to it or leave it out: permission denied"
    );

    let root = tree(&[("binary", b"\0"), ("empty", b""), (".git/x", b"x")]);
    let path = root.path().display();
    let error = Corpus::gather(&[root.path()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "nothing to count in `{path}`: 1 empty, 1 binary, 1 otherwise skipped; \
             name a file or directory with text"
        )
    );
    let root = tree(&[]);
    let error = Corpus::gather(&[root.path()]).unwrap_err();
    assert!(error.to_string().contains("no files;"), "{error}");
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let root = tree(&[("open", b"a"), ("shut", b"b")]);
    let shut = root.path().join("shut");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    match (fs::File::open(&shut), Corpus::gather(&[root.path()])) {
        // Root reads everything.
        (Ok(_), result) => assert_eq!(result.unwrap().files().len(), 2),
        (Err(_), result) => {
            assert!(matches!(result, Err(CorpusError::Unreadable { path, .. }) if path == shut));
        }
    }
}
