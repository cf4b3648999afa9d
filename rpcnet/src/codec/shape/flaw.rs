//! Where a type asks for what the encoding does not have: to be told what comes next.

use super::graph::{Content, Fields, Graph, ShapeNode, Slot};

/// The note that the tracer makes where a type uses `deserialize_any`.
pub(super) const ANY: &str = "any";

/// Bytes of a path.
const LONGEST: usize = 256;

/// The path to the first such place, such as `Order.lines[].price`; empty where it is the type itself.
pub(super) fn path(graph: &Graph) -> Option<String> {
    let mut search = Search { graph, entered: vec![false; graph.definitions().len()] };
    search.slot(Graph::ROOT, String::new())
}

struct Search<'a> {
    graph: &'a Graph,
    /// Definitions that were looked at: a type may contain itself.
    entered: Vec<bool>,
}

impl Search<'_> {
    fn slot(&mut self, slot: Slot, path: String) -> Option<String> {
        if path.len() > LONGEST {
            return Some(format!("{path}…")).filter(|_| self.holds(slot));
        }
        match self.graph.node(slot) {
            ShapeNode::Primitive(ANY) => Some(path),
            ShapeNode::Primitive(_) | ShapeNode::Unknown => None,
            ShapeNode::Option(inner) => self.slot(*inner, path),
            ShapeNode::Sequence(inner) | ShapeNode::Array(inner, _) => self.slot(*inner, format!("{path}[]")),
            ShapeNode::Map(key, value) => self
                .slot(*key, format!("{path}{{key}}"))
                .or_else(|| self.slot(*value, format!("{path}{{value}}"))),
            ShapeNode::Tuple(slots) => self.numbered(slots, &path),
            ShapeNode::Definition(index) => self.definition(*index, path),
        }
    }

    /// Returns whether there is such a place below, wherever.
    fn holds(&mut self, slot: Slot) -> bool {
        self.slot(slot, String::new()).is_some()
    }

    fn definition(&mut self, index: usize, path: String) -> Option<String> {
        if std::mem::replace(self.entered.get_mut(index)?, true) {
            return None;
        }
        let graph = self.graph;
        let definition = graph.definition(index);
        let path = if path.is_empty() { definition.name.to_owned() } else { path };
        match &definition.content {
            Content::Struct(fields) => self.fields(fields, &path),
            Content::Enum(variants) => variants
                .iter()
                .find_map(|variant| self.fields(&variant.fields, &format!("{path}::{}", variant.name))),
        }
    }

    fn fields(&mut self, fields: &Fields, path: &str) -> Option<String> {
        match fields {
            Fields::Unknown | Fields::Unit => None,
            Fields::Tuple(slots) => self.numbered(slots, path),
            Fields::Named(fields) => {
                fields.iter().find_map(|(name, slot)| self.slot(*slot, format!("{path}.{name}")))
            }
        }
    }

    fn numbered(&mut self, slots: &[Slot], path: &str) -> Option<String> {
        let mut slots = slots.iter().enumerate();
        slots.find_map(|(index, slot)| self.slot(*slot, format!("{path}.{index}")))
    }
}
