//! kubectl against a cluster, and what it said.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Cluster, Home, builtin, generated_crds, patience, wait_for};

/// What a command said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Whether it ended with exit code 0.
    pub ok: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// Its standard output, when it succeeded.
    ///
    /// # Panics
    /// When it failed; shows both outputs.
    pub fn success(self) -> String {
        assert!(self.ok, "the command failed: {}{}", self.err, self.out);
        self.out
    }

    /// Its standard error, when it failed.
    ///
    /// # Panics
    /// When it succeeded; shows its output.
    pub fn failure(self) -> String {
        assert!(!self.ok, "the command should have failed: {}", self.out);
        self.err
    }
}

/// Runs a prepared command with that input to its end; it is killed when the test ends first.
pub(super) async fn run(command: &mut Command, input: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let write = async {
        // One that does not read its input closes it: it says in its own words what is wrong.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output.expect("our own child");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

impl Cluster {
    /// Runs `kubectl` with those arguments against this cluster.
    pub async fn kubectl(&self, arguments: &[&str]) -> Ran {
        self.kubectl_reading(arguments, "").await
    }

    /// As [`Self::kubectl`], with a standard input: `kubectl_reading(&["apply", "-f", "-"], yaml)`. Input that begins
    /// with `{` is taken for JSON: put `---` before YAML in flow style.
    pub async fn kubectl_reading(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(self.kubectl_program());
        command.args(arguments);
        run(&mut command, input).await
    }

    /// The program that [`Self::kubectl`] runs.
    pub fn kubectl_program(&self) -> PathBuf {
        match &*self.home {
            Home::BuiltIn(server) => server.bin().join("kubectl"),
            // The one built here if there is one, else whichever the user's cluster came with.
            Home::Named { .. } => {
                builtin::installed().map_or_else(|_| "kubectl".into(), |bin| bin.join("kubectl"))
            }
        }
    }

    /// A program not yet started that talks to this cluster and no other, because its `KUBECONFIG` says so.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.kubeconfig()).env_remove("KUBERNETES_MASTER");
        // No cache on disk: a kind that was added a moment ago is not in it.
        command.env("KUBECACHEDIR", "/dev/null/none");
        command
    }

    /// Applies YAML (server-side, as manager `tests`, taking over what others own).
    ///
    /// # Panics
    /// When it is refused.
    pub async fn apply(&self, namespace: &str, yaml: &str) -> String {
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=tests",
            "-n",
            namespace,
            "-f",
            "-",
        ];
        self.kubectl_reading(&apply, yaml).await.success()
    }

    /// Applies the four kinds of `crds/generated` and waits until they are served. Any number of tests may do so.
    pub async fn apply_crds(&self) {
        let files = generated_crds();
        let mut apply = vec!["apply", "--server-side", "--force-conflicts", "--field-manager=tests"];
        let mut wait = vec!["wait", "--for=condition=Established", "--timeout=60s"];
        for file in &files {
            let file = file.to_str().expect("the checkout's path is text");
            apply.extend(["-f", file]);
            wait.extend(["-f", file]);
        }
        self.kubectl(&apply).await.success();
        self.kubectl(&wait).await.success();
        // Established is not yet known to all who ask what there is.
        wait_for("kubectl to know the four kinds", patience(20), async || {
            let ran = self.kubectl(&["get", "trading", "--all-namespaces"]).await;
            if ran.ok { Ok(()) } else { Err(ran.err) }
        })
        .await;
    }
}
