//! Where a command computes.

use tch::Device;

/// Reads `auto`, `cpu` or `cuda:N`; `auto` is the first CUDA device, or else the CPU.
pub(super) fn parse_device(text: &str) -> Result<Device, String> {
    let available = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
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
