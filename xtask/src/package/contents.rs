//! What is in the package, and where.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{gzip, said};
use crate::run::run_aside;

/// Where what is written by hand lies.
const SOURCES: &str = "lb-userspace/package";
const EXAMPLES: &str = "lb-userspace/examples";
const DOCS: &str = "lb-userspace/docs";

/// Files of [`SOURCES`] and where they go.
const FILES: [(&str, &str); 7] = [
    ("sluice.service", "usr/lib/systemd/system/sluice.service"),
    ("sluice.sysusers", "usr/lib/sysusers.d/sluice.conf"),
    ("sluice.toml", "etc/sluice/sluice.toml"),
    ("sluice.default", "etc/default/sluice"),
    ("sluice.logrotate", "etc/logrotate.d/sluice"),
    ("alerts.yml", "usr/share/sluice/alerts.yml"),
    ("dashboard.json", "usr/share/sluice/dashboard.json"),
];

/// Completions by the names that clap gives them.
const COMPLETIONS: [(&str, &str); 3] = [
    ("sluice.bash", "usr/share/bash-completion/completions/sluice"),
    ("_sluice", "usr/share/zsh/vendor-completions/_sluice"),
    ("sluice.fish", "usr/share/fish/vendor_completions.d/sluice.fish"),
];

/// Scripts that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Who answers for the package, unless `DEBFULLNAME` and `DEBEMAIL` say who does.
const MAINTAINER: (&str, &str) = ("Sluice maintainers", "maintainers@sluice.invalid");

/// The tree that is packed.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) version: String,
    pub(super) architecture: String,
    /// Seconds since 1970.
    pub(super) epoch: String,
}

impl Tree {
    /// Lays everything out, anew.
    pub(super) fn fill(&self, binary: &Path) -> Result<()> {
        if self.root.exists() {
            fs::remove_dir_all(&self.root)?;
        }
        self.binary(binary)?;
        for (name, to) in FILES {
            self.copy(&Path::new(SOURCES).join(name), to)?;
        }
        self.manual(binary)?;
        self.documents()?;
        self.control()?;
        set_modes(&self.root)
    }

    fn path(&self, to: &str) -> Result<PathBuf> {
        let path = self.root.join(to);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(path)
    }

    fn write(&self, to: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.path(to)?, text)?)
    }

    fn copy(&self, from: &Path, to: &str) -> Result<()> {
        fs::copy(from, self.path(to)?).with_context(|| from.display().to_string())?;
        Ok(())
    }

    fn binary(&self, binary: &Path) -> Result<()> {
        let to = "usr/sbin/sluice";
        self.copy(binary, to)?;
        run_aside(
            Command::new("strip").args(["--remove-section=.comment", "--remove-section=.note"]).arg(self.path(to)?),
        )
    }

    fn manual(&self, binary: &Path) -> Result<()> {
        let made = self.root.join("made");
        let date = said(Command::new("date").args(["--utc", "+%F", "--date"]).arg(format!("@{}", self.epoch)))?;
        run_aside(Command::new(binary).arg("manual").arg(&made).args(["--date", &date]))?;
        for page in fs::read_dir(made.join("man"))? {
            let page = page?.path();
            let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let section = name.rsplit('.').next().unwrap_or_default();
            let to = format!("usr/share/man/man{section}/{name}");
            self.copy(&page, &to)?;
            gzip(&self.path(&to)?)?;
        }
        for (name, to) in COMPLETIONS {
            self.copy(&made.join("completions").join(name), to)?;
        }
        Ok(fs::remove_dir_all(made)?)
    }

    fn documents(&self) -> Result<()> {
        let doc = "usr/share/doc/sluice";
        self.write(&format!("{doc}/copyright"), &copyright()?)?;
        self.write(&format!("{doc}/changelog"), &self.changelog()?)?;
        gzip(&self.path(&format!("{doc}/changelog"))?)?;
        self.copy(Path::new("CHANGELOG.md"), &format!("{doc}/NEWS.md"))?;
        gzip(&self.path(&format!("{doc}/NEWS.md"))?)?;
        self.copy(Path::new("README.md"), &format!("{doc}/README.md"))?;
        self.copy(&Path::new(DOCS).join("sluice.schema.json"), "usr/share/sluice/sluice.schema.json")?;
        copy_below(Path::new(DOCS), &self.root.join(doc).join("docs"))?;
        fs::remove_file(self.root.join(doc).join("docs/sluice.schema.json"))?;
        copy_below(Path::new(EXAMPLES), &self.root.join(doc).join("examples"))
    }

    /// In Debian's form; what has changed says NEWS.md, in ours.
    fn changelog(&self) -> Result<String> {
        let mut date = Command::new("date");
        date.args(["--utc", "--rfc-email", "--date"]).arg(format!("@{}", self.epoch)).env("LC_ALL", "C");
        let (version, date) = (&self.version, said(&mut date)?);
        Ok(format!(
            "sluice ({version}) unstable; urgency=medium\n\n  * Version {version}; NEWS.md says what has changed.\n\n -- {}  \
             {date}\n",
            maintainer()
        ))
    }

    fn control(&self) -> Result<()> {
        for script in SCRIPTS {
            self.copy(&Path::new(SOURCES).join(script), &format!("DEBIAN/{script}"))?;
        }
        let conffiles = FILES.iter().map(|(_, to)| to).filter(|to| to.starts_with("etc/"));
        let conffiles: Vec<_> = conffiles.map(|to| format!("/{to}\n")).collect();
        self.write("DEBIAN/conffiles", &conffiles.concat())?;
        let (mut sums, mut kilobytes) = (String::new(), 0);
        for file in files(&self.root)? {
            kilobytes += fs::metadata(self.root.join(&file))?.len().div_ceil(1_024);
            let sum = said(Command::new("md5sum").arg(&file).current_dir(&self.root))?;
            if !file.starts_with("etc") {
                writeln!(sums, "{sum}")?;
            }
        }
        self.write("DEBIAN/md5sums", &sums)?;
        self.write("DEBIAN/control", &self.about(kilobytes)?)
    }

    fn about(&self, kilobytes: u64) -> Result<String> {
        let Self { version, architecture, .. } = self;
        Ok(format!(
            "Package: sluice\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {}\nInstalled-Size: \
             {kilobytes}\nDepends: {}, adduser, init-system-helpers (>= 1.54)\nRecommends: logrotate\nSuggests: \
             keepalived\nSection: net\nPriority: optional\nDescription: load balancer with a half in the kernel\n \
             Sluice forwards packets at the network card by an XDP program (layer 4), and\n terminates TLS, routes HTTP \
             and relays TCP in a daemon (layer 7). One health\n check of a server decides for both. Configured in TOML \
             with the words of\n HAProxy.\n",
            maintainer(),
            self.libraries()?
        ))
    }

    /// The packages of the libraries that the binary is linked with.
    fn libraries(&self) -> Result<String> {
        let beside = self.root.with_extension("depends");
        fs::create_dir_all(beside.join("debian"))?;
        fs::write(beside.join("debian/control"), "Source: sluice\n\nPackage: sluice\nArchitecture: any\n")?;
        let binary = fs::canonicalize(self.path("usr/sbin/sluice")?)?;
        let mut command = Command::new("dpkg-shlibdeps");
        let depends = said(command.args(["-O", "-e"]).arg(binary).current_dir(&beside))?;
        fs::remove_dir_all(&beside)?;
        Ok(depends.trim().trim_start_matches("shlibs:Depends=").to_owned())
    }
}

fn maintainer() -> String {
    let or = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_unset| default.to_owned());
    format!("{} <{}>", or("DEBFULLNAME", MAINTAINER.0), or("DEBEMAIL", MAINTAINER.1))
}

/// What parts the texts of LICENSE.
const RULE: &str = "\n================================================================================\n";

/// LICENSE, in the form that Debian's tools read.
fn copyright() -> Result<String> {
    let text = fs::read_to_string("LICENSE")?;
    // Debian has the Apache License once, for all.
    let own = text.split(RULE).filter(|part| !part.trim_start().starts_with("Apache License"));
    let lines = own.flat_map(str::lines);
    let license: Vec<_> =
        lines.map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") }).collect();
    let license = license.concat();
    Ok(format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: \
         Sluice\n\nFiles: *\nCopyright: The authors of Sluice\nLicense: Expat or Apache-2.0\n{license} .\n On Debian \
         systems the text of the Apache License is in\n /usr/share/common-licenses/Apache-2.0.\n"
    ))
}

fn copy_below(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_below(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Files below `root` that are packed, sorted, as seen from there.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut left) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
            } else {
                files.push(path.strip_prefix(root)?.to_path_buf());
            }
        }
    }
    files.retain(|file| !file.starts_with("DEBIAN"));
    files.sort();
    Ok(files)
}

/// Whatever the builder's umask is.
fn set_modes(path: &Path) -> Result<()> {
    let is_script = path.parent().is_some_and(|parent| parent.ends_with("DEBIAN"))
        && path.file_name().is_some_and(|name| SCRIPTS.iter().any(|script| name == *script));
    let mode = if path.is_dir() || is_script || path.ends_with("usr/sbin/sluice") { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            set_modes(&entry?.path())?;
        }
    }
    Ok(())
}
