//! The firmware's settings of a Raspberry Pi: config.txt.
//!
//! Sections for single models, as `[pi4]`, are read as if they were for all.

use super::Machine;

/// Where it lies: since Debian 12, and before.
const PLACES: [&str; 2] = ["/boot/firmware/config.txt", "/boot/config.txt"];

/// The settings.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigTxt {
    /// The file, for messages.
    pub(super) path: &'static str,
    lines: Vec<String>,
}

impl ConfigTxt {
    /// Reads the file; `None` on a machine that has none.
    pub(super) fn read(machine: &Machine) -> Option<Self> {
        // The old place holds a text that names the new one.
        let (path, text) = PLACES.iter().find_map(|path| Some((*path, machine.text(path)?)))?;
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let lines = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Some(Self { path, lines })
    }

    /// Gives the value that a parameter has last: `spi` of `dtparam=i2c_arm=on,spi=on`.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let values = self.lines.iter().filter_map(|line| line.strip_prefix("dtparam="));
        let pairs = values.flat_map(|values| values.split(','));
        pairs
            .filter_map(|pair| pair.split_once('=').or(Some((pair, "on"))))
            .rfind(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim())
    }

    /// Tells whether a parameter is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| matches!(value, "on" | "true" | "yes" | "1"))
    }

    /// Tells whether a setting is there as it is written.
    pub(super) fn has_line(&self, line: &str) -> bool {
        self.lines.iter().any(|known| known == line)
    }

    /// Lists the overlays that are loaded, without their parameters.
    pub(super) fn overlays(&self) -> impl Iterator<Item = &str> {
        let values = self.lines.iter().filter_map(|line| line.strip_prefix("dtoverlay="));
        values.filter_map(|value| value.split([',', ':']).next()).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_parameters_and_overlays() {
        let text = "# spi=on\ndtparam=i2c_arm=on,spi=off\n[pi4]\ndtparam=spi=on # later\ndtparam=audio\n\
                    dtoverlay=vc4-kms-v3d,noaudio\ndtoverlay=piscreen:rotate=90\n";
        let lines = text.lines().map(|line| line.split('#').next().unwrap().trim().to_owned());
        let config = ConfigTxt { path: PLACES[0], lines: lines.collect() };
        assert_eq!(config.parameter("spi"), Some("on"));
        assert!(config.is_on("spi") && config.is_on("i2c_arm") && config.is_on("audio"));
        assert!(!config.is_on("i2c_vc"));
        assert_eq!(config.overlays().collect::<Vec<_>>(), ["vc4-kms-v3d", "piscreen"]);
    }
}
