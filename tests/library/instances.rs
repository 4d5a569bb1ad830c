//! Drawn instances are the same everywhere and for ever.

use gdcert::{Dims, Init, Instance, Kernel};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn sha256(instance: &Instance) -> String {
    let digest = Sha256::digest(instance.to_bytes().unwrap());
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Pinned: a change here means that published seeds no longer name the same instances.
#[test]
fn three_instances_have_their_hashes() {
    let a = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    let b = Dims {
        N: 3,
        n: 2,
        D: 7,
        d: 5,
        H: 2,
        p: 2,
    };
    let draw =
        |dims, kernel, init, seed| sha256(&Instance::random(dims, kernel, init, seed).unwrap());
    assert_eq!(
        [
            draw(a, Kernel::Softmax, Init::Lecun, 0),
            draw(b, Kernel::Gaussian, Init::Lazy { omega: 10.0 }, 1),
            draw(b, Kernel::Softmax, Init::ConstantValue { s: 3.0 }, u64::MAX),
        ],
        [
            "d8fc6ac6772e0f3626010fdb90885cc000f34ee8effb8aeff4aa370265e92b49",
            "f8ca74a4257817bbaf8458bb876b643e7626617313fef9b8986c3a712dfe67c5",
            "b3251c1e360d49c4ea58e3a3525967b2f1dce0a17ce6e8e59c5b406c7388d82e",
        ]
    );
}

proptest! {
    /// Writing and reading an instance file gives the same instance, bit for bit.
    #[test]
    fn files_round_trip(
        (N, n, D, d, H, p) in (1usize..4, 1usize..5, 1usize..6, 1usize..5, 1usize..4, 1usize..4),
        seed: u64,
        gaussian: bool,
    ) {
        let kernel = if gaussian { Kernel::Gaussian } else { Kernel::Softmax };
        let dims = Dims { N, n, D, d, H, p };
        let instance = Instance::random(dims, kernel, Init::Lecun, seed).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("instance.safetensors");
        instance.write(&path).unwrap();
        prop_assert_eq!(&Instance::read(&path, None).unwrap(), &instance);
        let other = Instance::read(&path, Some(Kernel::Gaussian)).unwrap();
        prop_assert_eq!(other.kernel(), Kernel::Gaussian);
    }

    /// The laws: lazy output weights are orthonormal times omega; paired heads cancel.
    #[test]
    fn schemes_obey_their_laws(seed: u64, d in 2usize..6, p in 1usize..3) {
        let dims = Dims { N: 2, n: 3, D: 4, d, H: 4, p };
        let lazy = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 3.0 }, seed).unwrap();
        for (v, o) in lazy.W().V.iter().zip(&lazy.W().O) {
            prop_assert!(v.iter().all(|w| *w == 0.0));
            let gram = o.transpose() * o / 9.0;
            let identity = nalgebra::DMatrix::identity(p, p);
            // Gram-Schmidt twice: orthonormal to a few roundings.
            prop_assert!((gram - identity).norm() < 1e-14);
        }
        let paired = Instance::random(dims, Kernel::Softmax, Init::ConstantValue { s: 2.0 }, seed).unwrap();
        for h in 0..2 {
            prop_assert_eq!(&paired.W().Q[h], &paired.W().Q[h + 2]);
            prop_assert_eq!(&paired.W().V[h], &paired.W().V[h + 2]);
            prop_assert_eq!(&paired.W().O[h], &(-&paired.W().O[h + 2]));
        }
        prop_assert!(paired.X().iter().all(|x| x.column(3).iter().all(|v| *v == 1.0)));
    }
}

/// Means and variances over 10^5 draws, within five standard errors.
#[test]
fn normals_have_mean_0_and_variance_1() {
    let dims = Dims {
        N: 100,
        n: 100,
        D: 10,
        d: 1,
        H: 1,
        p: 1,
    };
    let instance = Instance::random(dims, Kernel::Softmax, Init::Lecun, 5).unwrap();
    let values: Vec<f64> = instance
        .X()
        .iter()
        .flat_map(|x| x.iter().copied())
        .collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| x * x).sum::<f64>() / count - mean * mean;
    assert!(mean.abs() < 5.0 / count.sqrt(), "{mean}");
    assert!(
        (variance - 1.0).abs() < 5.0 * (2.0 / count).sqrt(),
        "{variance}"
    );
}
