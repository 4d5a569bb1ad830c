//! Many instances: the poster's claims one by one.

pub mod poster;
