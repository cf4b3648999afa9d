//! Which types are the same, by their structure and not by their paths: two of the same name and structure are one, so
//! that it does not matter how a peer sorted its types into modules.
//!
//! Found by refining: definitions are hashed with the hashes of those that they name in place of them, again and again
//! until that tells no more apart (Moore's algorithm for automata).

use std::collections::BTreeSet;

use super::graph::{Content, Fields, Graph, ShapeNode, Slot};
use crate::hash;

/// A hash for each definition and slot, which those of the same structure share.
pub(super) struct Classes<'a> {
    graph: &'a Graph,
    definitions: Vec<u64>,
    /// Under `definitions` as they are; none where nobody has asked.
    slots: Vec<Option<u64>>,
}

impl<'a> Classes<'a> {
    pub(super) fn of(graph: &'a Graph) -> Self {
        let count = graph.definitions().len();
        let mut classes = Self { graph, definitions: vec![0; count], slots: vec![None; graph.slots()] };
        let mut known = 0;
        loop {
            let refined: Vec<u64> = (0..count).map(|index| classes.definition(index)).collect();
            let different = refined.iter().collect::<BTreeSet<_>>().len();
            classes = Self { definitions: refined, slots: vec![None; graph.slots()], graph };
            if different <= known {
                return classes;
            }
            known = different;
        }
    }

    pub(super) fn of_definition(&self, index: usize) -> u64 {
        self.definitions[index]
    }

    /// Returns whether the same type stands in all of these.
    pub(super) fn are_same(&mut self, slots: &[Slot]) -> bool {
        let mut classes = slots.iter().map(|slot| self.slot(*slot));
        let first = classes.next();
        classes.all(|class| Some(class) == first)
    }

    fn definition(&mut self, index: usize) -> u64 {
        let definition = self.graph.definition(index);
        let text = match &definition.content {
            Content::Struct(fields) => format!("struct {:?}{}", definition.name, self.fields(fields)),
            Content::Enum(variants) => {
                let mut text = format!("enum {:?}", definition.name);
                for variant in variants {
                    text.push_str(&format!("{:?}{},", variant.name, self.fields(&variant.fields)));
                }
                text
            }
        };
        hash::fingerprint(&text)
    }

    fn fields(&mut self, fields: &Fields) -> String {
        match fields {
            Fields::Unknown => "?".to_owned(),
            Fields::Unit => String::new(),
            Fields::Tuple(slots) => self.all(slots),
            Fields::Named(fields) => {
                let fields = fields.iter().map(|(name, slot)| format!("{name:?}{:x},", self.slot(*slot)));
                fields.collect()
            }
        }
    }

    fn all(&mut self, slots: &[Slot]) -> String {
        slots.iter().map(|slot| format!("{:x},", self.slot(*slot))).collect()
    }

    fn slot(&mut self, slot: Slot) -> u64 {
        if let Some(class) = self.slots[slot] {
            return class;
        }
        let graph = self.graph;
        let text = match graph.node(slot) {
            ShapeNode::Unknown => "?".to_owned(),
            ShapeNode::Primitive(name) => (*name).to_owned(),
            ShapeNode::Option(inner) => format!("option {:x}", self.slot(*inner)),
            ShapeNode::Sequence(_) if graph.is_bytes(slot) => "bytes".to_owned(),
            ShapeNode::Sequence(inner) => format!("sequence {:x}", self.slot(*inner)),
            ShapeNode::Map(key, value) => format!("map {:x} {:x}", self.slot(*key), self.slot(*value)),
            ShapeNode::Array(inner, length) => format!("array {:x} {length}", self.slot(*inner)),
            ShapeNode::Tuple(slots) => format!("tuple {}", self.all(slots)),
            ShapeNode::Definition(index) => format!("definition {:x}", self.definitions[*index]),
        };
        let class = hash::fingerprint(&text);
        self.slots[slot] = Some(class);
        class
    }
}
