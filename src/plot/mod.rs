//! stand-in
use crate::Result;
use crate::verify::Verification;
/// x
pub struct Figure {
    /// x
    pub svg: String,
    /// x
    pub png: Vec<u8>,
}
/// x
pub fn rate_vs_bound(_: &Verification, _: &str) -> Result<Figure> {
    Ok(Figure {
        svg: String::new(),
        png: vec![],
    })
}
