//! Declared ahead of its body.
use crate::dialect::Decoded;
pub fn one(_: &[u8]) -> Decoded {
    Decoded::default()
}
pub fn all(_: &[u8]) -> Vec<Decoded> {
    Vec::new()
}
