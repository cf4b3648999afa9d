//! Relative links and anchors in the repository's Markdown files lead somewhere.
//!
//! Anchors follow GitHub's rule: lower case, spaces as hyphens, punctuation dropped, a number behind a heading that
//! appears again.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

/// Folders of generated files, beside build output: the built book, the fuzz targets' inputs.
const GENERATED: [&str; 5] = ["book/book", "fuzz/corpus", "fuzz/artifacts", "fuzz/found", "fuzz/coverage"];

#[test]
fn relative_links_and_anchors_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository");
    let mut files = Vec::new();
    markdown_files(&root, &root, &mut files);
    assert!(files.len() > 20, "only {} Markdown files below {}", files.len(), root.display());
    let pages: HashMap<PathBuf, Page> = files
        .into_iter()
        .map(|file| (file.clone(), Page::new(&fs::read_to_string(&file).expect("text"))))
        .collect();
    let mut broken = Vec::new();
    for (file, page) in &pages {
        for (line, link) in &page.links {
            if let Some(fault) = fault(file, link, &pages) {
                broken.push(format!(
                    "{}:{line}: {link}: {fault}",
                    file.strip_prefix(&root).expect("below").display()
                ));
            }
        }
    }
    broken.sort();
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn broken_links_are_found() {
    let page = Page::new(
        "# A `b`, c\n[x](#a-b-c) [y](#nowhere) `[z](none.md)`\n```\n[z](none.md)\n```\n## A b c\n[2]: gone.md\n",
    );
    assert!(page.anchors.contains("a-b-c") && page.anchors.contains("a-b-c-1"));
    assert_eq!(page.links, [(2, "#a-b-c".into()), (2, "#nowhere".into()), (7, "gone.md".into())]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let pages = HashMap::from([(file.clone(), page)]);
    assert_eq!(fault(&file, "#a-b-c", &pages), None);
    assert_eq!(fault(&file, "Cargo.toml", &pages), None);
    assert_eq!(fault(&file, "https://example.org/#x", &pages), None);
    assert_eq!(fault(&file, "#nowhere", &pages), Some("no such heading"));
    assert_eq!(fault(&file, "gone.md", &pages), Some("no such file"));
}

/// The parts of a Markdown file that links depend on.
struct Page {
    anchors: HashSet<String>,
    /// Targets of links, with their lines.
    links: Vec<(usize, String)>,
}

impl Page {
    fn new(text: &str) -> Self {
        let (mut anchors, mut links, mut in_code) = (HashSet::new(), Vec::new(), false);
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            let heading = line.trim_start_matches('#');
            if heading.len() < line.len() && heading.starts_with(' ') {
                let anchor = anchor(heading.trim());
                let again = (1..).map(|count| format!("{anchor}-{count}"));
                let free =
                    std::iter::once(anchor.clone()).chain(again).find(|anchor| !anchors.contains(anchor));
                anchors.extend(free);
            }
            // Every second piece is code.
            let text: String = line.split('`').step_by(2).collect();
            links.extend(
                text.split("](")
                    .skip(1)
                    .filter_map(|rest| Some((number, rest.split_once(')')?.0.to_owned()))),
            );
            if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
                links.push((number, target.trim().to_owned()));
            }
        }
        Self { anchors, links }
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect::<String>().to_lowercase()
}

fn fault(file: &Path, link: &str, pages: &HashMap<PathBuf, Page>) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => file.to_owned(),
        path => match file.parent().expect("a file's folder").join(path).canonicalize() {
            Ok(target) => target,
            Err(_) => return Some("no such file"),
        },
    };
    let known = anchor.is_empty() || pages.get(&target).is_none_or(|page| page.anchors.contains(anchor));
    (!known).then_some("no such heading")
}

fn markdown_files(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with('.') || name == "target" {
            continue;
        }
        if entry.file_type().expect("a type").is_dir() {
            if !GENERATED.iter().any(|generated| path == root.join(generated)) {
                markdown_files(root, &path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
}
