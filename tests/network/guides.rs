//! The guides in `lb-userspace/docs`: every command in them runs here, in the order in which they are read, as root and as it stands.
//!
//! Blocks say by their language what they are. `sh` and `console` are run by one bash a guide, in namespaces of its own (network,
//! mounts, processes), so that nothing stays. What a command of `console` (behind `$`) prints must be what stands below it, line by
//! line, but for blanks; `…` is anything, on a line of its own any lines. `toml`, `haproxy` and `conf` are files, named by their
//! first line, `# sluice.toml`; `sluice check` has to take those of TOML where they come. `sh tunnels` needs devices that not every
//! kernel has; without them bash only reads it. `text` is for people alone.
//!
//! Benches and the soak take longer than a test may: `cargo` only lets them read their options here. [`bench`](crate::bench) runs
//! them, shortly.

use anyhow::{Context, Result, bail, ensure};
use lb_tests::{binary, built, lab, turn::Turn};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tokio::time::Instant;

const GUIDES: [&str; 6] =
    ["benchmarks.md", "first-five-minutes.md", "from-haproxy.md", "keepalived.md", "l4-modes.md", "troubleshooting.md"];

/// Where packages have the binary, which keepalived asks.
const INSTALLED: &str = "/usr/sbin/sluice";

/// Seconds until a guide that hangs is given up.
const PATIENCE: &str = "90";

/// Begins a line that says what comes next; nothing else prints it.
const MARK: &str = "@@@";

/// What is there before the first command.
const BEFORE: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
mkdir /run/netns /run/bin
touch /run/bin/sluice
mount --bind "$SLUICE" /run/bin/sluice
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
export PATH=/run/bin:$PATH
cargo() {
  case "$1 $2" in
    "xtask bench") "$BENCH" "${@:3}" --help >/dev/null ;;
    "xtask soak") "$SOAK" "${@:3}" --help >/dev/null ;;
    *) echo "nobody runs cargo $*"; return 1 ;;
  esac
}
has_tunnels() {
  ip link add probe type ipip local 127.0.0.1 && ip link del probe && ip fou add port 7 gue && ip fou del port 7
}
"#;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lb-userspace/docs")
}

/// A block between fences.
struct Block<'a> {
    /// Of the guide, from 1: the first one inside.
    line: usize,
    language: &'a str,
    lines: Vec<&'a str>,
}

fn blocks(guide: &str) -> Result<Vec<Block<'_>>> {
    let (mut blocks, mut lines) = (Vec::new(), guide.lines().enumerate());
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        ensure!(!language.is_empty(), "line {}: of which language is it?", number + 1);
        let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        blocks.push(Block { line: number + 2, language, lines: inside.collect() });
    }
    Ok(blocks)
}

/// A command of a block `console`, and what it is to print.
struct Asked<'a> {
    line: usize,
    command: &'a str,
    prints: Vec<&'a str>,
}

impl Block<'_> {
    fn asked(&self) -> Result<Vec<Asked<'_>>> {
        let mut asked = Vec::<Asked<'_>>::new();
        for (number, line) in self.lines.iter().enumerate() {
            let line_of_guide = self.line + number;
            match (line.strip_prefix("$ "), asked.last_mut()) {
                (Some(command), _) => asked.push(Asked { line: line_of_guide, command, prints: Vec::new() }),
                (None, Some(last)) => last.prints.push(line),
                (None, None) => bail!("line {line_of_guide}: nobody asked for this"),
            }
        }
        Ok(asked)
    }

    /// As bash runs it.
    fn script(&self) -> Result<String> {
        let (line, text) = (self.line, self.lines.join("\n"));
        let mark = format!("echo; echo '{MARK} {line}'\n");
        Ok(match self.language {
            "sh" => format!("{mark}{text}\n"),
            "sh tunnels" => format!("{mark}if has_tunnels 2>/dev/null; then\n{text}\nfi\n"),
            "console" => {
                let commands = self.asked()?;
                let one = |it: &Asked<'_>| format!("echo; echo '{MARK} {}'\n{{ {}\n}} || true\n", it.line, it.command);
                commands.iter().map(one).collect::<String>()
            }
            "toml" | "haproxy" | "conf" => {
                let name = self.lines.first().and_then(|first| first.strip_prefix("# "));
                let name = name.with_context(|| format!("line {line}: which file is it?"))?;
                let text = text.replace(INSTALLED, "/run/bin/sluice");
                let check = match self.language {
                    "toml" => format!("RUN=/run sluice check --config {name}\n"),
                    "haproxy" => format!("haproxy -c -f {name}\n"),
                    _ => String::new(),
                };
                format!("{mark}cat >{name} <<'END OF {name}'\n{text}\nEND OF {name}\n{check}")
            }
            "text" => String::new(),
            other => bail!("line {line}: nobody knows what to do with `{other}`"),
        })
    }
}

/// What was printed behind the mark of a line.
fn printed(output: &str, line: usize) -> Option<&str> {
    let (_, rest) = output.split_once(&format!("\n{MARK} {line}\n"))?;
    Some(rest.split(&format!("\n{MARK} ")).next().unwrap_or(rest))
}

fn plain(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line is as it should be; `…` stands for anything.
fn is_like(line: &str, wanted: &str) -> bool {
    let mut rest = line;
    for (number, part) in wanted.split('…').enumerate() {
        let Some(at) = rest.find(part).filter(|at| number > 0 || *at == 0) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    wanted.ends_with('…') || rest.is_empty()
}

/// Whether these lines are those; `…` alone stands for any.
fn are_like(lines: &[String], wanted: &[String]) -> bool {
    match (wanted, lines) {
        ([], lines) => lines.is_empty(),
        ([first, rest @ ..], _) if first == "…" => {
            (0..=lines.len()).any(|skip| lines.get(skip..).is_some_and(|lines| are_like(lines, rest)))
        }
        ([first, wanted @ ..], [line, lines @ ..]) => is_like(line, first) && are_like(lines, wanted),
        ([_, ..], []) => false,
    }
}

fn kept<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    lines.map(plain).filter(|line| !line.is_empty()).collect()
}

/// Does all that a guide says.
fn follow(name: &str) -> Result<()> {
    let _turn = Turn::beside_others();
    lab::preflight()?;
    let guide = fs::read_to_string(docs().join(name))?;
    let blocks = blocks(&guide)?;
    let directory = tempfile::tempdir()?;
    // The users of servers and of the worker look in here, too.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let mut script = format!("{BEFORE}cd {}\n", directory.path().display());
    for block in &blocks {
        script += &block.script().with_context(|| name.to_owned())?;
    }
    writeln!(script, "echo; echo '{MARK} end'")?;
    let (path, output) = (directory.path().join(".script"), directory.path().join(".output"));
    fs::write(&path, script)?;
    let written = fs::File::create(&output)?;
    let began = Instant::now();
    let status = Command::new("timeout")
        .args([
            "--signal=KILL",
            PATIENCE,
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg("bash")
        .arg(&path)
        .env("SLUICE", binary()?)
        .env("BENCH", built("bench")?)
        .env("SOAK", built("soak")?)
        .stdin(Stdio::null())
        .stdout(written.try_clone()?)
        .stderr(written)
        .status()?;
    let output = String::from_utf8_lossy(&fs::read(&output)?).into_owned();
    ensure!(status.success() && printed(&output, 0).is_none(), "{name}: {status}\n{output}");
    for block in blocks.iter().filter(|block| block.language == "console") {
        for asked in block.asked()? {
            let said = printed(&output, asked.line).with_context(|| format!("{name}:{} did not run", asked.line))?;
            let (lines, wanted) = (kept(said.lines()), kept(asked.prints.iter().copied()));
            ensure!(are_like(&lines, &wanted), "{name}:{}: {}\nprinted\n{said}\n{output}", asked.line, asked.command);
        }
    }
    println!("{name}: {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

#[test]
fn the_first_five_minutes_are_as_they_are_told() -> Result<()> {
    follow("first-five-minutes.md")
}

#[test]
fn who_comes_from_haproxy_finds_everything() -> Result<()> {
    follow("from-haproxy.md")
}

#[test]
fn every_way_to_forward_works_as_the_guide_says() -> Result<()> {
    follow("l4-modes.md")
}

#[test]
fn keepalived_moves_the_address_as_the_guide_says() -> Result<()> {
    follow("keepalived.md")
}

#[test]
fn symptoms_look_as_the_guide_says() -> Result<()> {
    follow("troubleshooting.md")
}

#[test]
fn benches_have_the_options_that_the_guide_names() -> Result<()> {
    follow("benchmarks.md")
}

#[test]
fn every_guide_is_followed() -> Result<()> {
    let names = fs::read_dir(docs())?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<Result<BTreeSet<_>>>()?;
    let guides: Vec<_> =
        names.iter().filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "md")).collect();
    ensure!(guides.iter().copied().eq(GUIDES.iter()), "{guides:?}");
    Ok(())
}

#[test]
fn links_of_guides_lead_somewhere() -> Result<()> {
    let anchors = |text: &str| -> BTreeSet<String> {
        let headings =
            text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
        let is_kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
        headings
            .map(|heading| heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-"))
            .collect()
    };
    for name in GUIDES {
        let text = fs::read_to_string(docs().join(name))?;
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { docs().join(name) } else { docs().join(file) };
            let there = fs::read_to_string(&path).with_context(|| format!("{name}: {link}"))?;
            ensure!(anchor.is_empty() || anchors(&there).contains(anchor), "{name}: {link}");
        }
    }
    Ok(())
}

#[test]
fn output_is_compared_line_by_line() {
    let are = |lines: &str, wanted: &str| are_like(&kept(lines.lines()), &kept(wanted.lines()));
    assert!(are("a   b\n\nc", "a b\nc") && !are("a b\nc", "a b") && !are("a b", "a b\nc"));
    assert!(are("one 12 two", "one … two") && are("one", "one…") && !are("zero one", "one…") && !are("one 1", "…one"));
    assert!(are("a\nb\nc", "…\nc") && are("a\nb\nc", "a\n…") && are("a", "…\na\n…") && !are("a\nb", "…\na"));
}
