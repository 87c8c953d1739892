//! What a peer could have said instead of what it said.

/// The bytes of a script: what follows its first byte as it stands, where that is even, or else a seed and changes of it.
///
/// Fuzz targets and the tests that keep them alive share it: a script is short, and most of what it makes still means
/// something.
#[must_use]
pub fn mutant(seeds: &[Vec<u8>], script: &[u8]) -> Vec<u8> {
    let Some((kind, rest)) = script.split_first() else { return Vec::new() };
    if kind & 3 == 0 {
        return rest.to_vec();
    }
    let mut script = rest.iter().copied();
    let mut bytes = seed(seeds, &mut script);
    while let Some(change) = script.next() {
        let at = below(&mut script, bytes.len());
        match change & 7 {
            0 if at < bytes.len() => drop(bytes.remove(at)),
            1 => bytes.insert(at, script.next().unwrap_or(0)),
            2 => bytes.truncate(at),
            3 => bytes.extend(seed(seeds, &mut script)),
            4 => {
                let from = at.min(bytes.len());
                let piece: Vec<u8> = bytes.iter().skip(from).take(below(&mut script, 64)).copied().collect();
                bytes.splice(from..from, piece);
            }
            5 => {
                let other = seed(seeds, &mut script);
                let from = below(&mut script, other.len());
                bytes.truncate(at);
                bytes.extend(other.into_iter().skip(from));
            }
            _ => {
                let bits = script.next().unwrap_or(0);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
        }
    }
    bytes
}

/// Scripts of up to so many bytes that look random and are the same each time.
pub fn scripts(seed: u64, longest: u8) -> impl Iterator<Item = Vec<u8>> {
    let mut state = seed;
    let mut byte = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [first, ..] = state.to_be_bytes();
        first
    };
    let length = move |byte: u8| byte.checked_rem(longest).unwrap_or(0);
    std::iter::repeat_with(move || (0..length(byte())).map(|_| byte()).collect())
}

fn seed(seeds: &[Vec<u8>], script: &mut impl Iterator<Item = u8>) -> Vec<u8> {
    seeds.get(below(script, seeds.len())).cloned().unwrap_or_default()
}

fn below(script: &mut impl Iterator<Item = u8>, limit: usize) -> usize {
    let wide = usize::from(script.next().unwrap_or(0)) << 8 | usize::from(script.next().unwrap_or(0));
    wide.checked_rem(limit).unwrap_or(0)
}
