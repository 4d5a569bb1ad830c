//! Certificates about models of any kind: own reader, own evaluation, own bounds.
//!
//! | module | question |
//! |---|---|
//! | [`proof`] | are the numbers of a certificate what they are called? |
//! | [`standstill`] | is the gradient at M_0 exactly 0? |
//! | [`orbit`] | one step of gradient descent, for [`orbit`](crate::orbit); the Jacobian |
//! | [`file`] | what stands in a model's files? |
//! | [`values`], [`functions`] | values and gradients, in balls or in numbers of many bits |
//! | [`curvature`] | how large is D^2F over a ball? |
//! | [`second`] | how large is it at the centre? |
//! | [`sums`] | how far is it from there over the ball? |
//! | [`centre`], [`slopes`], [`table`] | rows of derivatives, functions over intervals, numbers for parts of arrays |

pub(crate) mod centre;
pub(crate) mod curvature;
pub(crate) mod file;
pub(crate) mod functions;
pub(crate) mod orbit;
pub(crate) mod proof;
pub(crate) mod second;
pub(crate) mod slopes;
pub(crate) mod standstill;
pub(crate) mod sums;
pub(crate) mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_orbits;
pub(crate) mod values;
