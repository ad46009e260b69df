//! Where to compute.

use tch::{Cuda, Device};

/// Parses `auto`, `cpu` or `cuda:N`.
pub(super) fn parse(text: &str) -> Result<Device, String> {
    let available = usize::try_from(Cuda::device_count()).unwrap_or(0);
    match text {
        "auto" => Ok(Device::cuda_if_available()),
        "cpu" => Ok(Device::Cpu),
        _ => match text.strip_prefix("cuda:").and_then(|number| number.parse::<usize>().ok()) {
            Some(number) if number < available => Ok(Device::Cuda(number)),
            Some(_) => Err(format!("{available} CUDA devices are here; give cpu or auto")),
            None => Err("give auto, cpu or cuda:N".to_owned()),
        },
    }
}
