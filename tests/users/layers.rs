//! The imports among the top-level modules of `rpcnet` and `rpcnet-cluster` are those that ARCHITECTURE.md allows.
//!
//! The tests read the sources: every path that begins with `crate::`, in code that is no test. A public name counts as an
//! import of the module that `lib.rs` takes it from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Modules for benches and fuzzing, which look into all others.
const OUTSIDE: [&str; 2] = ["fuzz", "measured"];
/// The groups of modules that import each other (ARCHITECTURE.md, *Invariants*).
const KNOTS: [&[&str]; 4] =
    [&["context", "service", "session"], &["error", "tls"], &["health", "server"], &["limit", "metrics"]];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An import: the first file in which it was found, for the message.
type Imports = BTreeMap<String, BTreeMap<String, PathBuf>>;

/// The imports of each top-level module of a crate.
fn imports(krate: &str) -> Imports {
    let src = root().join(krate).join("src");
    let lib = read(&src.join("lib.rs"));
    let modules: BTreeSet<_> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|module| !OUTSIDE.contains(module))
        .collect();
    assert!(modules.len() > 5, "only {} modules in {krate}", modules.len());
    let mut sources = BTreeMap::new();
    for module in &modules {
        let file = src.join(format!("{module}.rs"));
        if file.exists() {
            sources.insert(file, *module);
        }
        add_folder(&src.join(module), module, &mut sources);
    }
    let public = public_names(&lib);
    let mut imports: Imports = modules.iter().map(|module| (module.to_string(), BTreeMap::new())).collect();
    for (file, module) in sources {
        let code = code(&read(&file));
        assert!(!names_root_by_super(&code, &file, &src), "{}: say crate:: for the root", file.display());
        for name in names(&code) {
            let target = if modules.contains(name.as_str()) { Some(&name) } else { public.get(&name) };
            if let Some(target) =
                target.filter(|target| *target != module && modules.contains(target.as_str()))
            {
                imports
                    .get_mut(module)
                    .expect("listed")
                    .entry(target.clone())
                    .or_insert_with(|| file.clone());
            }
        }
    }
    imports
}

fn add_folder<'a>(folder: &Path, module: &'a str, sources: &mut BTreeMap<PathBuf, &'a str>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.file_stem().is_some_and(|stem| stem == "tests" || stem == "fuzz" || stem == "measured") {
            continue;
        }
        if path.is_dir() {
            add_folder(&path, module, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.insert(path, module);
        }
    }
}

/// The code of a file: without comments, and without its tests, which are last.
fn code(text: &str) -> String {
    let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..tests].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Public names and the modules that `lib.rs` takes them from.
fn public_names(lib: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for statement in lib.split("\npub use ").skip(1) {
        let statement = statement.split(';').next().expect("split gives a first part");
        let Some((module, rest)) = statement.split_once("::") else { continue };
        for name in words(rest) {
            names.insert(name.to_owned(), module.to_owned());
        }
    }
    names
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The first names of all paths that begin with `crate::`.
fn names(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let first = |text: &str| words(text.trim_start()).next().unwrap_or_default().to_owned();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(first(rest));
            continue;
        };
        let (mut depth, mut item) = (1, String::new());
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || depth == 1 && c == ',' {
                names.insert(first(&std::mem::take(&mut item)));
            } else {
                item.push(c);
            }
            if depth == 0 {
                break;
            }
        }
    }
    names
}

/// Returns whether an import reaches the crate's root by `super`, which would be overlooked. Imports in modules within a
/// file are indented, and one level deeper.
fn names_root_by_super(code: &str, file: &Path, src: &Path) -> bool {
    let below = file.strip_prefix(src).expect("a source").with_extension("");
    let depth = below.iter().filter(|part| *part != "mod").count();
    let import = format!("use {}", "super::".repeat(depth));
    code.lines().any(|line| !line.starts_with(' ') && line.contains(&import))
}

/// The modules' layers by the table in ARCHITECTURE.md, from the bottom up.
fn layers() -> BTreeMap<String, usize> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let section = text.split("### `rpcnet`: calls").nth(1).expect("the section on rpcnet");
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let mut layers = BTreeMap::new();
    let mut layer = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        layer += usize::from(!cells[1].is_empty());
        for module in cells[2].split('`').skip(1).step_by(2) {
            let before = layers.insert(module.trim_end_matches('/').to_owned(), layer);
            assert_eq!(before, None, "{module} stands in the table twice");
        }
    }
    layers
}

/// The groups of modules that reach each other.
fn knots(imports: &Imports) -> Vec<Vec<&str>> {
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(module) = next.pop() {
            next.extend(imports[&module].keys().filter(|other| seen.insert((*other).clone())).cloned());
        }
        seen
    };
    let reached: BTreeMap<_, _> = imports.keys().map(|module| (module.as_str(), reached(module))).collect();
    let knot = |one: &str| -> Vec<&str> {
        let others = reached.keys().copied();
        others.filter(|other| reached[one].contains(*other) && reached[other].contains(one)).collect()
    };
    let knots: BTreeSet<_> =
        reached.keys().map(|module| knot(module)).filter(|knot| knot.len() > 1).collect();
    knots.into_iter().collect()
}

#[test]
fn rpcnet_imports_from_its_own_layer_and_those_below() {
    let (imports, layers) = (imports("rpcnet"), layers());
    let in_table: BTreeSet<_> = layers.keys().collect();
    assert_eq!(in_table, imports.keys().collect(), "ARCHITECTURE.md's table and lib.rs list other modules");
    let upward: Vec<_> = imports
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |(to, file)| (from, to, file)))
        .filter(|(from, to, _)| layers[*to] > layers[*from])
        .map(|(from, to, file)| format!("{from} imports {to}, a layer above it, in {}", file.display()))
        .collect();
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn modules_that_import_each_other_are_the_known_few() {
    assert_eq!(knots(&imports("rpcnet")), KNOTS);
    assert_eq!(knots(&imports("rpcnet-cluster")), Vec::<Vec<&str>>::new());
}

#[test]
fn the_membership_core_imports_no_other_module() {
    assert_eq!(imports("rpcnet-cluster")["swim"], BTreeMap::new());
}

#[test]
fn the_cluster_uses_nothing_private_of_rpcnet() {
    let mut sources = BTreeMap::new();
    add_folder(&root().join("rpcnet-cluster/src"), "", &mut sources);
    assert!(sources.len() > 50, "only {} sources", sources.len());
    for file in sources.keys() {
        assert!(!code(&read(file)).contains("__private"), "{}", file.display());
    }
}

#[test]
fn imports_are_found() {
    let code = code(
        "use crate::{a::{b, c}, D};\n// use crate::no;\nfn f() { crate::e::g(); }\n#[cfg(test)]\nmod tests {\nuse crate::no;",
    );
    assert_eq!(names(&code), ["D", "a", "e"].map(str::to_owned).into());
    let edge = |to: &[&str]| to.iter().map(|to| (to.to_string(), PathBuf::new())).collect();
    let graph = |edges: [&[&str]; 3]| {
        ["a", "b", "c"].map(str::to_owned).into_iter().zip(edges.map(edge)).collect::<Imports>()
    };
    assert_eq!(knots(&graph([&["b"], &["c"], &["a"]])), [["a", "b", "c"]]);
    assert!(knots(&graph([&["b", "c"], &["c"], &[]])).is_empty());
    assert!(names_root_by_super("use super::x;", Path::new("s/a.rs"), Path::new("s")));
    assert!(!names_root_by_super("use super::x;", Path::new("s/a/b.rs"), Path::new("s")));
}
