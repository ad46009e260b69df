//! What the network made of all training pictures, kept so that each is decoded and goes through the backbone
//! once: feature maps in half precision, pixels in bytes.
//!
//! Up to a budget they stay in memory; the rest goes to an unnamed temporary file, so that memory does not grow
//! with the number of pictures.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use tch::{Device, Kind, Tensor};

/// One tensor of each of many pictures.
#[derive(Debug)]
pub struct Store {
    /// Of one picture: channels, height, width.
    shape: [i64; 3],
    /// How it is stored.
    kind: Kind,
    memory: Vec<u8>,
    budget_bytes: usize,
    spilled: Option<File>,
    count: usize,
    folder: std::path::PathBuf,
}

impl Store {
    /// Makes an empty store of feature maps; what exceeds the budget is kept in an unnamed file in `folder`.
    #[must_use]
    pub fn of_features(shape: [i64; 3], budget_bytes: usize, folder: &Path) -> Self {
        Self::new(shape, Kind::Half, budget_bytes, folder)
    }

    /// Makes an empty store of pixels, 0 to 255.
    #[must_use]
    pub fn of_pixels(shape: [i64; 3], budget_bytes: usize, folder: &Path) -> Self {
        Self::new(shape, Kind::Uint8, budget_bytes, folder)
    }

    fn new(shape: [i64; 3], kind: Kind, budget_bytes: usize, folder: &Path) -> Self {
        let (memory, folder) = (Vec::new(), folder.to_owned());
        Self { shape, kind, memory, budget_bytes, spilled: None, count: 0, folder }
    }

    /// Counts the pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Tells whether there is no picture.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds the tensors of a batch, `[B, C, h, w]`.
    ///
    /// # Errors
    /// Returns the operating system's error when the temporary file cannot be written.
    pub fn push(&mut self, batch: &Tensor) -> io::Result<()> {
        let batch = batch.to_device(Device::Cpu).to_kind(self.kind).contiguous();
        let mut bytes = vec![0; batch.numel() * self.kind.elt_size_in_bytes()];
        batch.copy_data_u8(&mut bytes, batch.numel());
        for picture in bytes.chunks_exact(self.picture_bytes()) {
            if self.spilled.is_none() && self.memory.len() + picture.len() <= self.budget_bytes {
                self.memory.extend_from_slice(picture);
            } else {
                self.spill(picture)?;
            }
            self.count += 1;
        }
        Ok(())
    }

    /// Gives the tensors of some pictures as `[B, C, h, w]` f32 on a device.
    ///
    /// # Errors
    /// Returns the operating system's error when the temporary file cannot be read.
    ///
    /// # Panics
    /// Panics if an index is not below [`Store::len`].
    pub fn batch(&mut self, indices: &[usize], device: Device) -> io::Result<Tensor> {
        let size = self.picture_bytes();
        let kept = self.memory.len() / size;
        let mut bytes = vec![0; size * indices.len()];
        for (&index, target) in indices.iter().zip(bytes.chunks_exact_mut(size)) {
            assert!(index < self.count, "picture {index} of {}", self.count);
            match &mut self.spilled {
                Some(file) if index >= kept => {
                    file.seek(SeekFrom::Start(((index - kept) * size) as u64))?;
                    file.read_exact(target)?;
                }
                _ => target.copy_from_slice(&self.memory[index * size..][..size]),
            }
        }
        let batch = i64::try_from(indices.len()).unwrap_or(0);
        let [channels, height, width] = self.shape;
        let stored = Tensor::from_data_size(&bytes, &[batch, channels, height, width], self.kind);
        Ok(stored.to_device(device).to_kind(Kind::Float))
    }

    fn picture_bytes(&self) -> usize {
        let side = |&side: &i64| usize::try_from(side).unwrap_or(0);
        self.kind.elt_size_in_bytes() * self.shape.iter().map(side).product::<usize>()
    }

    fn spill(&mut self, picture: &[u8]) -> io::Result<()> {
        let mut file = match self.spilled.take() {
            Some(file) => file,
            None => tempfile::tempfile_in(&self.folder)?,
        };
        file.seek(SeekFrom::End(0))?;
        file.write_all(picture)?;
        self.spilled = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_took_from_memory_and_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        // Room for three of five pictures of 2x2x2 half-precision values.
        let mut store = Store::of_features([2, 2, 2], 3 * 16 + 5, folder.path());
        let all = Tensor::arange(40, (Kind::Float, Device::Cpu)).reshape([5, 2, 2, 2]);
        store.push(&all.narrow(0, 0, 2)).unwrap();
        store.push(&all.narrow(0, 2, 3)).unwrap();
        assert_eq!((store.len(), store.memory.len()), (5, 48));
        let batch = store.batch(&[4, 0, 3], Device::Cpu).unwrap();
        assert_eq!(batch, all.index_select(0, &Tensor::from_slice(&[4i64, 0, 3])));
    }
}
