//! Archives as `helm package` makes them; the tests of the linter take this file too.

use std::collections::BTreeMap;
use std::io::Read;

/// A gzipped tar archive of text files, by path.
pub(crate) fn pack(files: &BTreeMap<String, String>) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, text) in files {
        let mut header = [0_u8; 512];
        assert!(name.len() <= 100, "{name} is too long for a plain tar header");
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        header[154] = 0;
        tar.extend_from_slice(&header);
        tar.extend_from_slice(text.as_bytes());
        tar.resize(tar.len().div_ceil(512) * 512, 0);
    }
    tar.resize(tar.len() + 1024, 0);
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(tar.as_slice(), flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}
