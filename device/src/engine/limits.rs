//! How large a network may be.

/// The bounds that every network is held to.
///
/// They are far above the classifiers that a device runs (VGG-16 has the largest tensor of torchvision's,
/// 103 million weights in one layer) and keep a hostile file from taking all memory or never ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most elements of one tensor, and of one operator's scratch memory.
    pub tensor_elements: u64,
    /// The most elements of all tensors together, those that are never alive at once included.
    pub total_elements: u64,
    /// The most multiply-adds (and comparisons of pooling) of one pass.
    pub multiply_adds: u64,
    /// The most nodes of the graph.
    pub nodes: usize,
    /// The most axes of a tensor.
    pub rank: usize,
}

impl Limits {
    /// The bounds in use: 512 MiB a tensor and 2 GiB in all as float32. At the 10 billion multiply-adds a
    /// second of one desktop core the most work takes 20 seconds.
    pub const DEFAULT: Self = Self {
        tensor_elements: 1 << 27,
        total_elements: 1 << 29,
        multiply_adds: 200_000_000_000,
        nodes: 20_000,
        rank: 8,
    };
}

/// A network is larger than the [`Limits`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// One tensor is too large.
    #[error("{what} has {shape:?} elements; at most {limit} are accepted")]
    Tensor {
        /// The node or tensor.
        what: String,
        /// Its shape.
        shape: Vec<u64>,
        /// The bound.
        limit: u64,
    },
    /// An operator needs too much scratch memory.
    #[error("{what} needs scratch memory of {elements} elements; at most {limit} are accepted")]
    Scratch {
        /// The node.
        what: String,
        /// What it needs.
        elements: u64,
        /// The bound.
        limit: u64,
    },
    /// All tensors together are too large.
    #[error("its tensors have {elements} elements together; at most {limit} are accepted")]
    Total {
        /// The sum.
        elements: u64,
        /// The bound.
        limit: u64,
    },
    /// A pass takes too long.
    #[error("it takes {found} multiply-adds; at most {limit} are accepted")]
    MultiplyAdds {
        /// The sum.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// There are too many nodes.
    #[error("it has {found} nodes and constants; at most {limit} are accepted")]
    Nodes {
        /// How many there are.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// A tensor has too many axes.
    #[error("{what} has {found} axes; at most {limit} are accepted")]
    Rank {
        /// The node or tensor.
        what: String,
        /// Its axes.
        found: usize,
        /// The bound.
        limit: usize,
    },
}

impl Limits {
    /// Checks the shape of one tensor and gives its number of elements.
    pub(super) fn check_shape(&self, what: &str, shape: &[u64]) -> Result<u64, LimitError> {
        if shape.len() > self.rank {
            let (what, found) = (what.to_owned(), shape.len());
            return Err(LimitError::Rank { what, found, limit: self.rank });
        }
        let limit = self.tensor_elements;
        shape
            .iter()
            .try_fold(1_u64, |product, &side| product.checked_mul(side))
            .filter(|&elements| elements <= limit)
            .ok_or_else(|| LimitError::Tensor {
                what: what.to_owned(),
                shape: shape.to_vec(),
                limit,
            })
    }

    /// Checks the number of elements of all tensors together.
    pub(super) fn check_total(&self, elements: u64) -> Result<(), LimitError> {
        if elements > self.total_elements {
            return Err(LimitError::Total { elements, limit: self.total_elements });
        }
        Ok(())
    }

    /// Checks the number of nodes and constants.
    pub(super) fn check_nodes(&self, found: usize) -> Result<(), LimitError> {
        if found > self.nodes {
            return Err(LimitError::Nodes { found, limit: self.nodes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_without_overflow() {
        let limits = Limits::DEFAULT;
        assert_eq!(limits.check_shape("x", &[2, 3, 4]), Ok(24));
        assert_eq!(limits.check_shape("x", &[]), Ok(1));
        assert!(limits.check_shape("x", &[u64::MAX, u64::MAX]).is_err());
        assert!(limits.check_shape("x", &[1 << 14, 1 << 14]).is_err());
        assert!(limits.check_shape("x", &[1; 9]).is_err());
    }
}
