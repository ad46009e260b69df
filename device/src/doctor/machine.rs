//! The machine that is examined: its files below a root, and the user who is to run the program.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Access as Asked, access};

/// A machine, as its files tell of it.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    user: User,
    now: SystemTime,
}

/// Who is to run the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// Who runs this.
    This,
    /// Somebody else: the mode of a file tells what he may, and access lists are not looked at.
    Other {
        /// The name.
        name: String,
        /// The number.
        id: u32,
        /// The numbers of all groups.
        groups: Vec<u32>,
    },
}

/// A name is no user's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no user {0}; make it by useradd --system {0}, or give another")]
pub struct NoSuchUser(String);

/// Whether a file can be read and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Open,
    /// Not by the user; the name of the group that may, if there is one.
    Closed(Option<String>),
    Missing,
}

impl Machine {
    /// The machine that this runs on.
    #[must_use]
    pub fn this(user: User) -> Self {
        Self::at(Path::new("/"), user, SystemTime::now())
    }

    /// A machine whose files lie below a folder, at some time.
    #[must_use]
    pub fn at(root: &Path, user: User, now: SystemTime) -> Self {
        Self { root: root.to_owned(), user, now }
    }

    /// Takes another user, by name.
    ///
    /// # Errors
    /// Returns [`NoSuchUser`] when the machine has none of that name.
    pub fn with_user(mut self, name: &str) -> Result<Self, NoSuchUser> {
        let passwords = self.text("/etc/passwd").unwrap_or_default();
        let entry = entries(&passwords).find(|fields| fields.first() == Some(&name));
        let numbers = entry.and_then(|fields| {
            Some((fields.get(2)?.parse::<u32>().ok()?, fields.get(3)?.parse::<u32>().ok()?))
        });
        let (id, group) = numbers.ok_or_else(|| NoSuchUser(name.to_owned()))?;
        let groups = self.text("/etc/group").unwrap_or_default();
        let has = |fields: &Vec<&str>| {
            fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name))
        };
        let others = entries(&groups).filter(has).filter_map(|fields| fields.get(2)?.parse().ok());
        let groups = [group].into_iter().chain(others).collect();
        self.user = User::Other { name: name.to_owned(), id, groups };
        Ok(self)
    }

    /// Tells whether it is the machine that this runs on.
    pub(super) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    pub(super) fn now(&self) -> SystemTime {
        self.now
    }

    /// The user's name, for commands that a person types.
    pub(super) fn user_name(&self) -> String {
        match &self.user {
            User::Other { name, .. } => name.clone(),
            User::This => std::env::var("USER").unwrap_or_else(|_| "$USER".to_owned()),
        }
    }

    /// Where a file of the machine lies.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        // What is not absolute is the caller's own.
        path.strip_prefix("/").map_or_else(|_| path.to_owned(), |path| self.root.join(path))
    }

    /// Reads a small text; `None` if it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\0', '\n']).to_owned())
    }

    pub(super) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }

    /// Lists a folder, in order.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Looks for a program where users have them.
    pub(super) fn has_program(&self, name: &str) -> bool {
        ["/usr/local/bin", "/usr/bin", "/bin"]
            .iter()
            .any(|folder| self.exists(Path::new(folder).join(name)))
    }

    /// Tells whether the user may read and write a file.
    pub(super) fn access(&self, path: impl AsRef<Path>) -> Access {
        self.may(path.as_ref(), Asked::READ_OK | Asked::WRITE_OK)
    }

    /// Tells whether the user may read a file.
    pub(super) fn reading(&self, path: impl AsRef<Path>) -> Access {
        self.may(path.as_ref(), Asked::READ_OK)
    }

    fn may(&self, path: &Path, asked: Asked) -> Access {
        let path = self.path(path);
        let Ok(data) = fs::metadata(&path) else { return Access::Missing };
        let wanted = asked.bits();
        let is_open = match &self.user {
            User::This => access(&path, asked).is_ok(),
            User::Other { id: 0, .. } => true,
            User::Other { id, groups, .. } => {
                let shift = if data.uid() == *id {
                    6
                } else if groups.contains(&data.gid()) {
                    3
                } else {
                    0
                };
                data.mode() >> shift & wanted == wanted
            }
        };
        if is_open {
            return Access::Open;
        }
        let by_group = data.mode() >> 3 & wanted == wanted && data.gid() != 0;
        Access::Closed(if by_group { self.group_name(data.gid()) } else { None })
    }

    fn group_name(&self, id: u32) -> Option<String> {
        let groups = self.text("/etc/group")?;
        let id = id.to_string();
        let found = entries(&groups).find(|fields| fields.get(2) == Some(&id.as_str()))?;
        found.first().map(|&name| name.to_owned())
    }

    /// What to do about a file that is closed.
    pub(super) fn open_up(&self, path: &str, group: Option<&str>) -> String {
        let user = self.user_name();
        group.map_or_else(
            || {
                format!(
                    "no group may use it: let a udev rule give {path} to a group, or run as root"
                )
            },
            |group| {
                format!("sudo usermod -aG {group} {user}, then log in again or restart the service")
            },
        )
    }
}

/// Splits the lines of /etc/passwd and its like.
fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}
