//! What the defaults need to know of the machine, so that loading itself asks nobody.

use std::path::PathBuf;

/// Facts about this process and machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Default node id.
    pub hostname: String,
    /// Home directory of the user, where there is one.
    pub home: Option<PathBuf>,
    /// `XDG_DATA_HOME`, where it is set to an absolute path.
    pub data_home: Option<PathBuf>,
}

impl Host {
    /// Asks the operating system.
    pub fn from_process() -> Self {
        let hostname =
            hostname::get().ok().and_then(|name| name.into_string().ok()).filter(|name| !name.is_empty());
        Self {
            hostname: hostname.unwrap_or_else(|| "localhost".to_owned()),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            data_home: std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute()),
        }
    }

    /// `$XDG_DATA_HOME/flymq`, or `~/.local/share/flymq`.
    pub fn default_data_dir(&self) -> Option<PathBuf> {
        let base =
            self.data_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".local/share")))?;
        Some(base.join("flymq"))
    }

    /// `~/x` with the home directory in place of `~`; other paths as they are.
    pub fn expand(&self, path: PathBuf) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            (Err(_), _) | (_, None) => path,
        }
    }
}
