//! A memory of a bounded size.

use std::collections::VecDeque;

/// Remembers the newest, as many as fit into so many bytes.
#[derive(Debug)]
pub(crate) struct Newest<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    max_bytes: usize,
}

impl<T> Newest<T> {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Remembers one that takes so many bytes outside of itself, and forgets the oldest
    /// for it. The newest stays, however large it is.
    pub(crate) fn push(&mut self, item: T, bytes: usize) {
        let bytes = bytes.saturating_add(size_of::<(T, usize)>());
        self.items.push_back((item, bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        while self.bytes > self.max_bytes
            && self.items.len() > 1
            && let Some((_, bytes)) = self.items.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.items.iter().map(|(item, _)| item)
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.items.iter_mut().map(|(item, _)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first_and_the_newest_never() {
        let item = size_of::<(u8, usize)>();
        let mut newest = Newest::new(3 * (item + 10));
        for number in 0..5 {
            newest.push(number, 10);
        }
        assert_eq!(newest.iter().copied().collect::<Vec<u8>>(), [2, 3, 4]);
        newest.push(5, 20);
        assert_eq!(newest.iter().copied().collect::<Vec<u8>>(), [4, 5]);
        newest.push(6, 1_000);
        assert_eq!(newest.iter().copied().collect::<Vec<u8>>(), [6]);
        newest.push(7, 10);
        assert_eq!(newest.iter().copied().collect::<Vec<u8>>(), [7]);
    }
}
