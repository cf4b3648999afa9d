//! The canonical text of a traced type.

use std::collections::BTreeMap;

use super::{
    classes::Classes,
    graph::{Content, Fields, Graph, ShapeNode, Slot},
};

/// Bytes of a text.
const LONGEST: usize = 64 << 10;
/// The most levels of definitions within each other.
const DEEPEST: usize = 256;

/// The canonical text of a type.
pub(super) fn describe(graph: &Graph) -> String {
    let mut printer = Printer {
        graph,
        classes: Classes::of(graph),
        described: BTreeMap::new(),
        depth: 0,
        cut: false,
        text: String::new(),
    };
    printer.slot(Graph::ROOT);
    if printer.cut {
        printer.text.push('…');
    }
    printer.text
}

struct Printer<'a> {
    graph: &'a Graph,
    classes: Classes<'a>,
    /// The classes that were described, by name.
    described: BTreeMap<&'static str, Vec<u64>>,
    depth: usize,
    cut: bool,
    text: String,
}

impl Printer<'_> {
    fn word(&mut self, word: &str) {
        self.cut |= self.text.len() + word.len() > LONGEST;
        if !self.cut {
            self.text.push_str(word);
        }
    }

    /// A name, quoted where it could be taken for something else: serde lets it be any text.
    fn name(&mut self, name: &str) {
        if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c)) {
            self.word(name);
        } else {
            self.word(&format!("{name:?}"));
        }
    }

    fn slot(&mut self, slot: Slot) {
        if self.cut {
            return;
        }
        let graph = self.graph;
        match graph.node(slot) {
            ShapeNode::Unknown => self.word("?"),
            ShapeNode::Primitive(name) => self.word(name),
            ShapeNode::Option(inner) => self.around("Option<", &[*inner], ">"),
            ShapeNode::Sequence(_) if graph.is_bytes(slot) => self.word("bytes"),
            ShapeNode::Sequence(inner) => self.around("Vec<", &[*inner], ">"),
            ShapeNode::Map(key, value) => self.around("Map<", &[*key, *value], ">"),
            ShapeNode::Array(inner, length) => self.array(*inner, *length),
            ShapeNode::Tuple(slots) if slots.len() > 1 && self.classes.are_same(slots) => {
                self.array(slots[0], slots.len());
            }
            ShapeNode::Tuple(slots) => self.around("(", slots, ")"),
            ShapeNode::Definition(index) => self.reference(*index),
        }
    }

    fn array(&mut self, inner: Slot, length: usize) {
        self.word("[");
        self.slot(inner);
        self.word(&format!(";{length}]"));
    }

    fn around(&mut self, before: &str, slots: &[Slot], after: &str) {
        self.word(before);
        for (index, slot) in slots.iter().enumerate() {
            self.comma(index);
            self.slot(*slot);
        }
        self.word(after);
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.word(",");
        }
    }

    /// A definition by its name, and what it is where it comes first.
    fn reference(&mut self, index: usize) {
        let class = self.classes.of_definition(index);
        let definition = self.graph.definition(index);
        let same_name = self.described.entry(definition.name).or_default();
        if let Some(number) = same_name.iter().position(|known| *known == class) {
            return self.numbered(definition.name, number);
        }
        let number = same_name.len();
        same_name.push(class);
        if self.depth == DEEPEST {
            self.cut = true;
            return;
        }
        self.depth += 1;
        match &definition.content {
            Content::Struct(fields) => {
                self.word("struct ");
                self.numbered(definition.name, number);
                self.fields(fields);
            }
            Content::Enum(variants) => {
                self.word("enum ");
                self.numbered(definition.name, number);
                self.word("{");
                for (index, variant) in variants.iter().enumerate() {
                    self.comma(index);
                    self.name(variant.name);
                    self.fields(&variant.fields);
                }
                self.word("}");
            }
        }
        self.depth -= 1;
    }

    fn numbered(&mut self, name: &str, number: usize) {
        self.name(name);
        if number > 0 {
            self.word(&format!("#{}", number + 1));
        }
    }

    fn fields(&mut self, fields: &Fields) {
        match fields {
            Fields::Unknown => self.word("(?)"),
            Fields::Unit => {}
            Fields::Tuple(slots) => self.around("(", slots, ")"),
            Fields::Named(fields) => {
                self.word("{");
                for (index, (name, slot)) in fields.iter().enumerate() {
                    self.comma(index);
                    self.name(name);
                    self.word(":");
                    self.slot(*slot);
                }
                self.word("}");
            }
        }
    }
}
