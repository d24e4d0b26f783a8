//! Makes inputs from seeds: bytes changed, pieces removed, repeated, swapped between seeds, and words put in that readers look for. The same seed gives the same inputs.

/// Texts that mean something to some reader.
const WORDS: &[&str] = &[
    "milvus",
    "{{ .Values.x }}",
    "${VAR}",
    "${{ env.X }}",
    "&a ",
    "*a",
    "<<: *a\n",
    "---\n",
    "|\n  ",
    ">-\n",
    "\t",
    "\r\n",
    "\u{feff}",
    "\u{0}",
    "é",
    "\"",
    "'",
    "\\",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "# ",
    "null",
    "~",
    "0644",
    "1e999",
    "-1",
    "18446744073709551616",
    "yes",
    "!!str ",
    "a[65536]=1",
    "a.b\\.c={x,y}",
    ",",
    "=",
    "--set",
    "--version",
    "4.2.58",
    "v2.6.0",
    ">=4.1 <5",
    "<<EOF\n",
    "EOF\n",
    "$(",
    "`",
    "&&",
    "apiVersion",
    "kind",
    "HelmRelease",
    "valuesFrom",
    "spec:\n",
    "values:\n",
    "dependencies:\n",
    "releases:\n",
];

/// The most bytes that an input may have.
const MAX_BYTES: usize = 64 << 10;

/// A source of inputs.
pub(crate) struct Mutator {
    state: u64,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    /// Inputs from these seeds.
    pub(crate) fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, seeds }
    }

    /// The next input; the first ones are the seeds as they are.
    pub(crate) fn next_input(&mut self, iteration: usize) -> Vec<u8> {
        if let Some(seed) = self.seeds.get(iteration) {
            return seed.clone();
        }
        let mut input = self.seed();
        for _ in 0..=self.below(6) {
            self.change(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(40)).min(input.len());
        match self.below(8) {
            0 => {
                let random = u8::try_from(self.below(256)).unwrap_or(0);
                if let Some(byte) = input.get_mut(at) {
                    *byte = random;
                }
            }
            1 => drop(input.drain(at.min(end)..end)),
            2 => {
                let piece: Vec<u8> = input.get(at..end).unwrap_or_default().to_vec();
                let times = 1 + self.below(50);
                insert(input, at, &piece.repeat(times));
            }
            3 => {
                let other = self.seed();
                let from = self.below(other.len() + 1);
                let to = (from + self.below(200)).min(other.len());
                insert(input, at, other.get(from..to).unwrap_or_default());
            }
            4 => input.truncate(at),
            5 => {
                let depth = 1 + self.below(400);
                let open = if self.below(2) == 0 { "[" } else { "{a: " };
                insert(input, at, open.repeat(depth).as_bytes());
            }
            _ => {
                let word = WORDS.get(self.below(WORDS.len())).copied().unwrap_or_default();
                insert(input, at, word.as_bytes());
            }
        }
    }

    fn seed(&mut self) -> Vec<u8> {
        let at = self.below(self.seeds.len());
        self.seeds.get(at).cloned().unwrap_or_default()
    }

    /// A number below a bound (xorshift).
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 1).unwrap_or(0) % bound.max(1)
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(input.len());
    let tail = input.split_off(at);
    input.extend_from_slice(piece);
    input.extend_from_slice(&tail);
}
