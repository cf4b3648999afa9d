//! Values of any type that interceptors hand on, one of each type.

use std::{
    any::{Any, TypeId},
    fmt,
    sync::Arc,
};

/// A few values by their type. Cheap to clone; empty ones cost nothing.
#[derive(Clone, Default)]
pub(crate) struct Extensions(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl Extensions {
    /// Adds a value in place of one of its type.
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.insert_shared(Arc::new(value));
    }

    /// As [`insert`](Self::insert), for a value that is shared.
    pub(crate) fn insert_shared<T: Send + Sync + 'static>(&mut self, value: Arc<T>) {
        let id = TypeId::of::<T>();
        self.0.retain(|(other, _)| *other != id);
        self.0.push((id, value));
    }

    /// Takes the value of this type out.
    pub(crate) fn take<T: Send + Sync + 'static>(&mut self) -> Option<Arc<T>> {
        let at = self.0.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.0.remove(at).1.downcast().ok()
    }

    pub(crate) fn of<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let (_, value) = self.0.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_ref()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").field("len", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_of_each_type() {
        let mut extensions = Extensions::default();
        assert_eq!(extensions.of::<u8>(), None);
        extensions.insert(1u8);
        extensions.insert("text");
        extensions.insert(2u8);
        assert_eq!(extensions.of::<u8>(), Some(&2));
        assert_eq!(extensions.of::<&str>(), Some(&"text"));
        assert_eq!(extensions.take::<u8>().as_deref(), Some(&2));
        assert_eq!(extensions.take::<u8>(), None);
        assert_eq!(extensions.of::<&str>(), Some(&"text"));
    }
}
