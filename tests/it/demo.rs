//! Tests of `lifecycle demo` and `lifecycle top`: in a real terminal driven by keys, and with plain lines.
//!
//! The terminal is provided by tmux. Without tmux these tests are skipped with a message; with `CI=true` they fail.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::lifecycle;

/// Timeout of each wait, far longer than any step takes.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Time limit for the first transition to appear on the screen, on an idle machine.
const FIRST_TRANSITION: Duration = Duration::from_secs(5);
/// Interval between two captures of the screen.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A tmux session that runs one command.
struct Terminal {
    directory: tempfile::TempDir,
}

impl Terminal {
    /// Runs `command` in a new terminal of this size and saves the terminal settings before and after. Returns `None`
    /// without tmux.
    fn run(command: &str, width: u16, height: u16) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "tmux is missing");
            eprintln!("skipped: tmux is missing");
            return None;
        }
        let terminal = Self { directory: tempfile::tempdir().expect("writable") };
        let program =
            Path::new(env!("CARGO_BIN_EXE_lifecycle")).parent().expect("a file has a parent directory").display();
        let script = format!(
            "export PATH={program}:$PATH LC_ALL=C.UTF-8; cd {}; stty -g >before; {command}; code=$?; stty -g >after; echo ended:$code; sleep 600",
            terminal.directory.path().display()
        );
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&[
            "-u",
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            "sh",
            "-c",
            &script,
        ]);
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let socket: PathBuf = self.directory.path().join("tmux");
        let output = Command::new("tmux")
            .arg("-S")
            .arg(socket)
            .args(arguments)
            .env_remove("TMUX")
            .output()
            .expect("tmux starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn frame(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Waits until a frame satisfies the predicate, and returns the frame.
    fn until(&self, what: &str, is_expected: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let frame = self.frame();
            if is_expected(&frame) {
                return frame;
            }
            assert!(Instant::now() < deadline, "timed out waiting for {what}\n{frame}");
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns whether the terminal has the same settings as before the command.
    fn is_restored(&self) -> bool {
        let settings = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).expect("settings");
        settings("before") == settings("after") && !settings("after").is_empty()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.directory.path().join("tmux");
        drop(Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output());
    }
}

/// Returns the number of customers in `stage` that a frame shows.
fn customers(frame: &str, stage: &str) -> u64 {
    let row = frame.lines().find(|line| line.trim_start_matches(['│', ' ']).starts_with(stage));
    let count = row.and_then(|row| row.split_whitespace().find_map(|word| word.replace(',', "").parse::<u64>().ok()));
    count.unwrap_or_default()
}

/// Returns the lines of a frame that show transitions.
fn transitions(frame: &str) -> Vec<&str> {
    frame
        .lines()
        .skip_while(|line| !line.contains("Transitions of"))
        .skip(1)
        .filter(|line| line.contains("customer-"))
        .collect()
}

/// Three of the five seconds are the broker's `group.initial.rebalance.delay.ms`. A loaded machine also delays the
/// first frame, so the limit grows with the time to the first frame. The test passes if one of five attempts is fast
/// enough.
#[test]
fn the_first_transition_is_on_the_screen_within_five_seconds() {
    let mut attempts = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let Some(terminal) = Terminal::run("lifecycle demo --seed 7", 80, 24) else { return };
        terminal.until("the first frame", |frame| frame.contains("lifecycle demo"));
        let first_frame = start.elapsed();
        terminal.until("the first transition", |frame| !transitions(frame).is_empty());
        let first_transition = start.elapsed();
        attempts.push((first_frame, first_transition));
        if first_transition < FIRST_TRANSITION + 4 * first_frame {
            eprintln!("first frame and first transition after {attempts:.1?}");
            return;
        }
    }
    panic!("first frame and first transition after {attempts:.1?}");
}

#[test]
fn the_demo_progresses_handles_keys_and_resizes_and_restores_the_terminal() {
    let Some(terminal) = Terminal::run("lifecycle demo --seed 7", 80, 24) else { return };
    let first = terminal
        .until("the first transitions", |frame| customers(frame, "interest") > 0 && !transitions(frame).is_empty());
    assert!(first.contains("lifecycle demo") && first.contains("5 days/s") && first.contains("2/6"), "{first}");
    let later = terminal.until("growing numbers", |frame| {
        customers(frame, "interest") > customers(&first, "interest")
            && customers(frame, "satisfaction") > customers(&first, "satisfaction")
            && transitions(frame) != transitions(&first)
    });
    assert!(later.contains("touchpoints/s") && later.contains("commit "), "{later}");
    terminal.until("moves between stages", |frame| {
        frame.lines().any(|line| line.contains(" interest ") && line.contains("→ purchase"))
    });

    terminal.press(&["Right"]);
    terminal.until("the next model", |frame| frame.contains("3/6"));
    terminal.press(&["Left", "+"]);
    terminal.until("a higher speed", |frame| frame.contains("2/6") && frame.contains("10 days/s"));
    terminal.press(&["Space"]);
    terminal.until("a pause", |frame| frame.contains("paused"));
    terminal.press(&["?"]);
    terminal.until("help", |frame| frame.contains("ctrl-c"));
    terminal.press(&["Escape"]);

    for (width, height) in [("60", "20"), ("44", "12"), ("132", "40")] {
        terminal.tmux(&["resize-window", "-x", width, "-y", height]);
        terminal.until("a frame of the new size", |frame| {
            let is_whole =
                |line: &str| line.chars().count() == width.parse::<usize>().expect("a number") && line.ends_with('╮');
            frame.lines().any(|line| line.contains("Customers by stage") && is_whole(line))
                && frame.lines().any(|line| line.contains("Transitions of") && is_whole(line))
        });
    }
    terminal.tmux(&["resize-window", "-x", "30", "-y", "8"]);
    terminal.until("the message about the size", |frame| frame.contains("too small"));
    terminal.tmux(&["resize-window", "-x", "100", "-y", "30"]);

    // Without a selection, enter opens the customer of the newest transition.
    terminal.press(&["Enter"]);
    terminal.until("the latest transition's customer", |frame| frame.contains("Customer customer-"));
    terminal.press(&["Escape"]);
    terminal.until("the transitions again", |frame| frame.contains("Transitions of"));
    terminal.press(&["Down"]);
    terminal.until("a selected transition", |frame| frame.contains("esc to follow"));
    terminal.press(&["Enter"]);
    // The latest transitions follow, but long reasons may fill the screen.
    let page =
        terminal.until("a customer", |frame| frame.contains("Current stages") && frame.contains("Forecast without"));
    assert!(page.contains("Customer customer-") && page.contains("retention"), "{page}");
    terminal.press(&["/", "unknown", "Enter"]);
    terminal.until("the error about an unknown customer", |frame| {
        frame.contains("Customer unknown") && frame.contains("no such customer")
    });
    terminal.press(&["q"]);
    terminal.until("the end", |frame| frame.contains("ended:0") && frame.contains(" touchpoints were sent"));
    assert!(terminal.is_restored());
}

#[test]
fn a_signal_stops_the_demo_and_restores_the_terminal() {
    let Some(terminal) = Terminal::run("sh -c 'echo $$ >pid; exec lifecycle demo'", 80, 24) else { return };
    terminal.until("the view", |frame| frame.contains("Customers by stage"));
    let id = std::fs::read_to_string(terminal.directory.path().join("pid")).expect("an id");
    assert!(Command::new("kill").args(["-TERM", id.trim()]).status().expect("kill starts").success());
    terminal.until("the end", |frame| frame.contains("ended:0"));
    assert!(terminal.is_restored());
}

#[test]
fn colors_are_used_unless_no_color_is_set() {
    for (environment, has_color) in [("", true), ("NO_COLOR=1 ", false)] {
        let Some(terminal) = Terminal::run(&format!("{environment}lifecycle demo --model retention"), 80, 24) else {
            return;
        };
        terminal.until("the view", |frame| frame.contains("Customers by stage"));
        let frame = terminal.tmux(&["capture-pane", "-p", "-e"]);
        assert_eq!(frame.contains("[38;5;") || frame.contains(";38;5;"), has_color, "{frame:?}");
    }
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let Some(terminal) = Terminal::run("TERM=dumb lifecycle demo --seconds 7", 100, 24) else { return };
    let frame = terminal.until("the end", |frame| frame.contains("ended:0"));
    assert!(frame.contains(" transitions\n") && frame.contains("became_interested"), "{frame}");
}

/// Starts a demo with plain lines; returns the process and the URL of its HTTP API.
fn demo() -> (Child, String) {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
        .args(["demo", "--seconds", "90", "--seed", "7"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let errors = BufReader::new(demo.stderr.take().expect("piped"));
    let address = errors.lines().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("http at ")?;
        Some(rest.split("/v1/").next()?.to_owned())
    });
    (demo, address.expect("the demo prints the URL of its HTTP API"))
}

#[test]
fn top_shows_a_running_service() {
    let (mut demo, url) = demo();
    let run = lifecycle(Path::new("."), &["top", "--url", &url, "--seconds", "12"], b"");
    assert_eq!(run.code, 0, "{}", run.errors);
    for shown in [" touchpoints/s", "became_interested", "|  awareness ", " transitions\n"] {
        assert!(run.output.contains(shown), "{shown} is missing in {}", run.output);
    }
    let rejected = lifecycle(Path::new("."), &["top", "--url", &url, "--model", "retentoin"], b"");
    assert_eq!(rejected.code, 2);
    assert!(rejected.errors.contains("the service does not run the model retentoin"), "{}", rejected.errors);
    if let Some(terminal) = Terminal::run(&format!("lifecycle top --url {url} --model retention"), 80, 24) {
        let frame =
            terminal.until("customers", |frame| customers(frame, "active") > 0 && !transitions(frame).is_empty());
        assert!(frame.contains(url.trim_start_matches("http://")) && frame.contains("freeze"), "{frame}");
        demo.kill().expect("it runs");
        terminal.until("the connection error", |frame| frame.contains("does not answer"));
        terminal.press(&["q"]);
        terminal.until("the end", |frame| frame.contains("ended:0"));
        assert!(terminal.is_restored());
    }
    drop(demo.kill());
    demo.wait().expect("it ends");
}

#[test]
fn top_rejects_unusable_arguments() {
    let rejected = |arguments: &[&str]| {
        let run = lifecycle(Path::new("."), &[&["top"], arguments].concat(), b"");
        (run.code, run.errors)
    };
    let (code, errors) = rejected(&["--url", "http://localhost:1", "--ca-file", "ca.pem"]);
    assert!(code == 2 && errors.contains("--ca-file needs the https:// address"), "{errors}");
    let (code, errors) = rejected(&["--url", "http://127.0.0.1:9"]);
    assert!(code == 3 && errors.contains("http://127.0.0.1:9 does not answer: connection refused; check"), "{errors}");
    for (url, expected) in [
        ("", "the host is missing: write http://host:port"),
        ("http://", "the host is missing: write http://host:port"),
        ("http://127.0.0.1:99999", "\"99999\" is not a port: write a number from 1 to 65535"),
    ] {
        let (code, errors) = rejected(&["--url", url]);
        assert!(code == 2 && errors.contains(expected), "{url}: {errors}");
    }
    let (code, errors) = rejected(&["--url", "http://me:s3cret@127.0.0.1:9"]);
    assert!(
        code == 3 && errors.contains("http://***@127.0.0.1:9 does not answer") && !errors.contains("s3cret"),
        "{errors}"
    );
    let (code, errors) = rejected(&["--token-file", "nowhere"]);
    assert!(code == 2 && errors.contains("nowhere cannot be read"), "{errors}");
}
