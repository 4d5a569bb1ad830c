//! Numbers by parameter block.

/// One number for each of Q, K, V; 0 for a block that is not trained.
pub type Blocks<T> = [T; 3];

/// The symmetric matrix H_bc of bounds on |D^2 F[delta_b, eps_c]|.
pub type BlockMatrix<T> = [[T; 3]; 3];
