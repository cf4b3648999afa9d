//! The graph of a type as far as it is known.
//!
//! A *slot* is a place where a type stands: a field, the inside of an option. What stands there is a node; structs and
//! enums are definitions, which several slots may name, and by which types can contain themselves.

use std::collections::BTreeMap;

/// So often something that contains a part that refuses is entered, before it is left alone.
const FAILURES: u8 = 16;
/// The number of different values that are tried for one slot.
pub(super) const ATTEMPTS: u8 = 12;
/// Values that may be asked for, in all passes together.
const STEPS: usize = 1 << 20;

pub(super) type Slot = usize;

#[derive(Debug, Clone)]
pub(super) enum ShapeNode {
    Unknown,
    Primitive(&'static str),
    Option(Slot),
    Sequence(Slot),
    Map(Slot, Slot),
    Tuple(Vec<Slot>),
    /// A tuple so long that it is an array.
    Array(Slot, usize),
    Definition(usize),
}

#[derive(Debug, Clone)]
pub(super) enum Fields {
    Unknown,
    Unit,
    Tuple(Vec<Slot>),
    Named(Vec<(&'static str, Slot)>),
}

#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    pub(super) fields: Fields,
    tries: u32,
    failures: u8,
    /// The fewest steps that a value took: by the cheapest variant a recursion ends.
    cost: Option<usize>,
}

#[derive(Debug)]
pub(super) enum Content {
    Struct(Fields),
    Enum(Vec<Variant>),
}

#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) content: Content,
    busy: bool,
    seen: usize,
}

/// The key of a definition: the name is that of all instances of a generic type, the path is never shown.
pub(super) type Key = (&'static str, &'static str, &'static [&'static str]);

#[derive(Debug)]
struct ShapeIndex {
    node: ShapeNode,
    /// Is being read, further up.
    busy: bool,
    complete: bool,
    failures: u8,
    attempt: u8,
    /// The last search that came by, as in a definition.
    seen: usize,
}

#[derive(Debug)]
pub(super) struct Graph {
    places: Vec<ShapeIndex>,
    definitions: Vec<Definition>,
    keys: BTreeMap<Key, usize>,
    /// Grows with each thing that was found out or given up.
    learnt: usize,
    steps: usize,
    /// The slot that was given a value last: it is taken for the one whose value was refused.
    last: Slot,
    /// A part has been found that this pass failed in.
    blamed: bool,
    /// Counts searches for what is not known.
    search: usize,
}

impl Graph {
    /// The slot of the type itself.
    pub(super) const ROOT: Slot = 0;

    pub(super) fn new() -> Self {
        let mut graph = Self {
            places: Vec::new(),
            definitions: Vec::new(),
            keys: BTreeMap::new(),
            learnt: 0,
            steps: 0,
            last: Self::ROOT,
            blamed: false,
            search: 0,
        };
        graph.new_slot();
        graph
    }

    pub(super) fn begin_pass(&mut self) -> usize {
        self.places.iter_mut().for_each(|place| place.busy = false);
        self.definitions.iter_mut().for_each(|definition| definition.busy = false);
        self.last = Self::ROOT;
        self.blamed = false;
        self.learnt
    }

    pub(super) fn end_failed_pass(&mut self) {
        let place = &mut self.places[self.last];
        if place.attempt < ATTEMPTS {
            place.attempt += 1;
            self.learnt += 1;
        }
    }

    pub(super) fn learnt(&self) -> usize {
        self.learnt
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Counts a step; false when there have been too many.
    pub(super) fn step(&mut self) -> bool {
        self.steps += 1;
        self.steps <= STEPS
    }

    pub(super) fn node(&self, slot: Slot) -> &ShapeNode {
        &self.places[slot].node
    }

    /// The number of slots.
    pub(super) fn slots(&self) -> usize {
        self.places.len()
    }

    /// A sequence of bytes is on the wire what bytes are.
    pub(super) fn is_bytes(&self, slot: Slot) -> bool {
        match self.node(slot) {
            ShapeNode::Sequence(inner) => matches!(self.node(*inner), ShapeNode::Primitive("u8")),
            _ => false,
        }
    }

    pub(super) fn definition(&self, index: usize) -> &Definition {
        &self.definitions[index]
    }

    pub(super) fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    fn new_slot(&mut self) -> Slot {
        let place = ShapeIndex {
            node: ShapeNode::Unknown,
            busy: false,
            complete: false,
            failures: 0,
            attempt: 0,
            seen: 0,
        };
        self.places.push(place);
        self.places.len() - 1
    }

    pub(super) fn new_slots(&mut self, count: usize) -> Vec<Slot> {
        (0..count).map(|_| self.new_slot()).collect()
    }

    /// Notes what stands in a slot. What was noted first stays, should an impl be of two minds.
    pub(super) fn set(&mut self, slot: Slot, node: ShapeNode) {
        if matches!(self.places[slot].node, ShapeNode::Unknown) {
            self.places[slot].node = node;
            self.learnt += 1;
        }
    }

    /// Which of several values is to be tried for this slot.
    pub(super) fn attempt(&mut self, slot: Slot) -> usize {
        self.last = slot;
        usize::from(self.places[slot].attempt % ATTEMPTS)
    }

    pub(super) fn enter(&mut self, slot: Slot) {
        self.places[slot].busy = true;
    }

    /// Notes whether reading succeeded what stands in an optional place.
    pub(super) fn leave(&mut self, slot: Slot, succeeded: bool) {
        let place = &mut self.places[slot];
        place.busy = false;
        if !succeeded && !std::mem::replace(&mut self.blamed, true) && place.failures < FAILURES {
            place.failures += 1;
            self.learnt += 1;
        }
    }

    pub(super) fn is_busy(&self, slot: Slot) -> bool {
        self.places[slot].busy
    }

    /// Returns whether there is more to find out in a place that may be left empty.
    pub(super) fn wants(&mut self, slot: Slot) -> bool {
        !self.is_busy(slot) && self.places[slot].failures < FAILURES && !self.is_complete(slot)
    }

    /// The definition of this key, which is made from `content` when it is new.
    pub(super) fn define(&mut self, key: Key, content: impl FnOnce(&mut Self) -> Content) -> usize {
        if let Some(&index) = self.keys.get(&key) {
            return index;
        }
        let content = content(self);
        let index = self.definitions.len();
        self.definitions.push(Definition { name: key.0, content, busy: false, seen: 0 });
        self.keys.insert(key, index);
        self.learnt += 1;
        index
    }

    /// Says which variant is to be read, and enters the definition. Also whether it was entered before.
    pub(super) fn begin_variant(&mut self, definition: usize) -> Option<(usize, bool)> {
        let chosen = self.choose(definition)?;
        let definition = &mut self.definitions[definition];
        let before = std::mem::replace(&mut definition.busy, true);
        let Content::Enum(variants) = &mut definition.content else { return None };
        let variant = &mut variants[chosen];
        if variant.tries == 0 {
            self.learnt += 1;
        }
        variant.tries += 1;
        Some((chosen, before))
    }

    /// One that was not tried, or that is not known in full (unless we are within this enum), or the cheapest.
    fn choose(&mut self, definition: usize) -> Option<usize> {
        let busy = self.definitions[definition].busy;
        let Content::Enum(variants) = &self.definitions[definition].content else { return None };
        if let Some(untried) = variants.iter().position(|variant| variant.tries == 0) {
            return Some(untried);
        }
        if !busy {
            let mut open: Vec<(u32, usize)> = variants
                .iter()
                .enumerate()
                .filter(|(_, variant)| variant.failures < FAILURES)
                .map(|(index, variant)| (variant.tries, index))
                .collect();
            open.sort_unstable();
            for (_, index) in open {
                if !self.is_variant_complete(definition, index) {
                    return Some(index);
                }
            }
        }
        let Content::Enum(variants) = &self.definitions[definition].content else { return None };
        let costs = variants.iter().map(|variant| (variant.cost.unwrap_or(usize::MAX), variant.tries));
        costs.enumerate().min_by_key(|(_, cost)| *cost).map(|(index, _)| index)
    }

    /// The fields of a variant, which are made when they are not known.
    pub(super) fn variant_fields(
        &mut self,
        definition: usize,
        variant: usize,
        make: impl FnOnce(&mut Self) -> Fields,
    ) -> Fields {
        if let Some(variant) = self.variant_mut(definition, variant)
            && !matches!(variant.fields, Fields::Unknown)
        {
            return variant.fields.clone();
        }
        let fields = make(self);
        if let Some(variant) = self.variant_mut(definition, variant) {
            variant.fields = fields.clone();
        }
        self.learnt += 1;
        fields
    }

    pub(super) fn end_variant(
        &mut self,
        definition: usize,
        variant: usize,
        before: bool,
        cost: usize,
        succeeded: bool,
    ) {
        self.definitions[definition].busy = before;
        let blamed = self.blamed;
        let Some(variant) = self.variant_mut(definition, variant) else { return };
        if succeeded {
            variant.cost = Some(variant.cost.map_or(cost, |known| known.min(cost)));
        } else if !blamed && variant.failures < FAILURES {
            variant.failures += 1;
            self.blamed = true;
            self.learnt += 1;
        }
    }

    fn variant_mut(&mut self, definition: usize, variant: usize) -> Option<&mut Variant> {
        match &mut self.definitions[definition].content {
            Content::Enum(variants) => variants.get_mut(variant),
            Content::Struct(_) => None,
        }
    }

    fn is_variant_complete(&mut self, definition: usize, variant: usize) -> bool {
        let mut waiting = Vec::new();
        match self.variant_mut(definition, variant) {
            Some(variant) => {
                push_fields(&variant.fields, &mut waiting)
                    && waiting.into_iter().all(|slot| self.is_complete(slot))
            }
            None => true,
        }
    }

    /// Returns whether everything that can be reached from here is known, or given up. It stays so then.
    pub(super) fn is_complete(&mut self, slot: Slot) -> bool {
        if self.places[slot].complete {
            return true;
        }
        self.search += 1;
        let mut waiting = vec![slot];
        let mut seen = Vec::new();
        while let Some(slot) = waiting.pop() {
            let place = &mut self.places[slot];
            if place.complete || std::mem::replace(&mut place.seen, self.search) == self.search {
                continue;
            }
            let place = &self.places[slot];
            seen.push(slot);
            match &place.node {
                ShapeNode::Unknown => return false,
                ShapeNode::Primitive(_) => {}
                ShapeNode::Option(inner) | ShapeNode::Sequence(inner) => {
                    self.push_optional(*inner, &mut waiting)
                }
                ShapeNode::Map(key, value) => {
                    // They are entered together, and the key is what counts the failures.
                    if self.places[*key].failures < FAILURES {
                        waiting.extend([*key, *value]);
                    }
                }
                ShapeNode::Array(inner, _) => waiting.push(*inner),
                ShapeNode::Tuple(slots) => waiting.extend(slots),
                ShapeNode::Definition(index) => {
                    let definition = &mut self.definitions[*index];
                    if std::mem::replace(&mut definition.seen, self.search) == self.search {
                        continue;
                    }
                    match &definition.content {
                        Content::Struct(fields) => {
                            push_fields(fields, &mut waiting);
                        }
                        Content::Enum(variants) => {
                            for variant in variants.iter().filter(|variant| variant.failures < FAILURES) {
                                if !push_fields(&variant.fields, &mut waiting) {
                                    return false;
                                }
                            }
                        }
                    }
                }
            }
        }
        for slot in seen {
            self.places[slot].complete = true;
        }
        true
    }

    fn push_optional(&self, inner: Slot, waiting: &mut Vec<Slot>) {
        if self.places[inner].failures < FAILURES {
            waiting.push(inner);
        }
    }
}

impl Variant {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, fields: Fields::Unknown, tries: 0, failures: 0, cost: None }
    }
}

/// Adds the slots of fields; false when they are not known.
fn push_fields(fields: &Fields, slots: &mut Vec<Slot>) -> bool {
    match fields {
        Fields::Unknown => return false,
        Fields::Unit => {}
        Fields::Tuple(fields) => slots.extend(fields),
        Fields::Named(fields) => slots.extend(fields.iter().map(|(_, slot)| slot)),
    }
    true
}
