//! Objects by namespace and name. What cannot be decoded is known by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tradewind_crds::objects::Key;

/// Objects by namespace and name.
#[derive(Debug)]
pub struct Cache<K> {
    inner: RwLock<BTreeMap<String, BTreeMap<String, Entry<K>>>>,
}

/// One object as it was seen last.
#[derive(Debug)]
pub enum Entry<K> {
    /// Read.
    Readable(Arc<K>),
    /// It exists, but is not what its kind should be; why.
    Unreadable(Arc<str>),
}

impl<K> Clone for Entry<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Readable(object) => Self::Readable(Arc::clone(object)),
            Self::Unreadable(why) => Self::Unreadable(Arc::clone(why)),
        }
    }
}

impl<K> Entry<K> {
    /// The object, where it can be read.
    pub fn readable(&self) -> Option<&Arc<K>> {
        match self {
            Self::Readable(object) => Some(object),
            Self::Unreadable(_) => None,
        }
    }
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self { inner: RwLock::default() }
    }
}

impl<K> Cache<K> {
    /// The object of that key, where it can be read.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.entry(key).and_then(|entry| entry.readable().cloned())
    }

    /// The object of that key, or why it cannot be read.
    pub fn entry(&self, key: &Key) -> Option<Entry<K>> {
        self.read().get(&key.namespace)?.get(&key.name).cloned()
    }

    /// The readable objects of a namespace that fit, by name.
    pub fn in_namespace(&self, namespace: &str, fits: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let all = self.read();
        let Some(objects) = all.get(namespace) else { return Vec::new() };
        objects.values().filter_map(Entry::readable).filter(|object| fits(object)).cloned().collect()
    }

    /// All readable objects, by namespace and name.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().values().flat_map(BTreeMap::values).filter_map(Entry::readable).cloned().collect()
    }

    /// The keys of all objects of a namespace, or of all namespaces; readable or not.
    pub fn keys(&self, namespace: Option<&str>) -> Vec<Key> {
        let all = self.read();
        let within = all.iter().filter(|(name, _)| namespace.is_none_or(|wanted| wanted == name.as_str()));
        within.flat_map(|(space, objects)| objects.keys().map(move |name| Key::new(space, name))).collect()
    }

    /// The keys of the objects of a namespace that cannot be read.
    pub fn unreadable(&self, namespace: &str) -> Vec<Key> {
        let all = self.read();
        let Some(objects) = all.get(namespace) else { return Vec::new() };
        let broken = objects.iter().filter(|(_, entry)| entry.readable().is_none());
        broken.map(|(name, _)| Key::new(namespace, name)).collect()
    }

    /// How many there are, readable or not.
    pub fn len(&self) -> usize {
        self.read().values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an object in; returns what stood there.
    pub fn put(&self, key: &Key, entry: Entry<K>) -> Option<Entry<K>> {
        self.write().entry(key.namespace.clone()).or_default().insert(key.name.clone(), entry)
    }

    /// Takes an object out.
    pub fn take(&self, key: &Key) -> Option<Entry<K>> {
        let mut all = self.write();
        let objects = all.get_mut(&key.namespace)?;
        let taken = objects.remove(&key.name);
        if objects.is_empty() {
            all.remove(&key.namespace);
        }
        taken
    }

    /// The keys of a namespace, or of all, that were not seen in a complete list.
    pub fn missing(&self, namespace: Option<&str>, seen: &BTreeSet<Key>) -> Vec<Key> {
        self.keys(namespace).into_iter().filter(|key| !seen.contains(key)).collect()
    }

    // A panic while a lock is held cannot leave a map half changed: each change is one call.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, BTreeMap<String, Entry<K>>>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, BTreeMap<String, Entry<K>>>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}
