//! The same for each of many, on all processors where there are many.

use rayon::prelude::*;

/// Fewer are not worth the wait for the threads of the pool: a webhook judges one object at a time, and within a millisecond.
const MANY: usize = 8;

/// What `make` makes of each, in their order; `make` is told the number of each, from 0.
pub(super) fn each<I: Sync, T: Send>(items: &[I], make: impl Fn(usize, &I) -> T + Sync + Send) -> Vec<T> {
    if items.len() < MANY {
        return items.iter().enumerate().map(|(number, item)| make(number, item)).collect();
    }
    items.par_iter().enumerate().map(|(number, item)| make(number, item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_come_in_their_order() {
        for count in [0, 1, MANY - 1, MANY, 1000] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(each(&items, |number, item| (number, *item)), items.iter().map(|item| (*item, *item)).collect::<Vec<_>>());
        }
    }
}
