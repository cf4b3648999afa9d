//! The README and the book show the examples as they are.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository's root")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of this extension in a folder.
fn files(folder: &Path, extension: &str) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// The files that a chapter includes as mdBook does it: by their paths from the chapter's folder.
fn included(chapter: &Path) -> BTreeSet<PathBuf> {
    let text = read(chapter);
    let names =
        text.split("{{#include ").skip(1).map(|rest| rest.split_once("}}").expect("a closing brace").0);
    let folder = chapter.parent().expect("the book's folder");
    let resolve = |name: &str| {
        let path = folder.join(name.trim());
        path.canonicalize().unwrap_or_else(|error| panic!("{} includes {name}: {error}", chapter.display()))
    };
    names.map(resolve).collect()
}

#[test]
fn the_readme_shows_hello() {
    let hello = read(&root().join("examples/hello.rs"));
    let shown = read(&root().join("README.md")).contains(&format!("```rust\n{hello}```\n"));
    assert!(
        shown,
        "README.md has another program than examples/hello.rs: copy the file into its first Rust block"
    );
}

#[test]
fn the_book_shows_each_page() {
    let chapters = files(&root().join("book/src"), "md");
    let shown: BTreeSet<PathBuf> = chapters.iter().flat_map(|chapter| included(chapter)).collect();
    let mut pages = files(&root().join("examples"), "rs");
    assert!(pages.remove(&root().join("examples/run.rs")), "the test of the pages, which is none itself");
    assert!(pages.len() >= 6, "{pages:?}");
    let missing: Vec<_> = pages.difference(&shown).collect();
    assert!(missing.is_empty(), "no chapter includes {missing:?}");
}
