//! Declared ahead of its body.
use crate::catalog::failure::Failures;
use crate::dialect::Decoded;
use crate::turn::exchange::Exchange;
pub fn exchange(_: &str, _: &Failures, _: &Exchange, _: bool) -> Decoded {
    Decoded::default()
}
