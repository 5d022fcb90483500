//! The volumes of a pod as folders of this machine, filled as a kubelet would fill them before it starts a container.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume};
use kube::{Api, ResourceExt};

use super::market;
use crate::cluster::Cluster;

/// How long the API server may take to answer before what is known is gone on with.
pub(super) const ANSWER: Duration = Duration::from_secs(1);

/// Where volumes lie, and where what is in them comes from.
pub(super) struct Volumes<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) namespace: &'a str,
    pub(super) dir: &'a Path,
}

/// Folders by the path they have in the container.
pub(super) struct Mounted(Vec<(String, PathBuf)>);

/// Where the ledger of an account lies.
pub(super) fn data_dir(dir: &Path, account: &str) -> PathBuf {
    dir.join("volumes").join(account)
}

impl Volumes<'_> {
    /// All that the pod's container mounts; none while something is missing that it must have.
    pub(super) async fn of(&self, pod: &Pod) -> Option<Mounted> {
        let spec = pod.spec.as_ref()?;
        let mut folders = vec![("/usr/share/tradewind/data".to_owned(), market::data_sets(self.dir))];
        for mount in spec.containers.first()?.volume_mounts.iter().flatten() {
            let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
            if let Some(folder) = self.folder(pod, volume).await? {
                folders.push((mount.mount_path.clone(), folder));
            }
        }
        Some(Mounted(folders))
    }

    /// The folder of a volume; none within for one that a process of this machine does not need.
    async fn folder(&self, pod: &Pod, volume: &Volume) -> Option<Option<PathBuf>> {
        let account = pod.labels().get("tradewind.dev/account")?;
        let own = self.dir.join("pods").join(pod.uid()?).join(&volume.name);
        if let Some(source) = &volume.config_map {
            let place = self.dir.join("config").join(account);
            return self.config(&source.name, place).await.map(Some);
        }
        if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref()?;
            let place = self.secret(name, source.optional == Some(true), own).await?;
            let mut items = source.items.iter().flatten();
            return items.all(|item| place.join(&item.path).exists()).then_some(Some(place));
        }
        let folder = match (&volume.persistent_volume_claim, &volume.empty_dir) {
            (Some(_), _) => data_dir(self.dir, account),
            (_, Some(_)) => own,
            _ => return Some(None),
        };
        std::fs::create_dir_all(&folder).ok()?;
        Some(Some(folder))
    }

    async fn config(&self, name: &str, place: PathBuf) -> Option<PathBuf> {
        let api: Api<ConfigMap> = Api::namespaced(self.cluster.client(), self.namespace);
        let Ok(Ok(map)) = tokio::time::timeout(ANSWER, api.get_opt(name)).await else {
            return place.exists().then_some(place);
        };
        let files = map?.data.unwrap_or_default();
        fill(&place, files.into_iter().map(|(key, text)| (key, text.into_bytes())).collect())?;
        Some(place)
    }

    async fn secret(&self, name: &str, optional: bool, place: PathBuf) -> Option<PathBuf> {
        let api: Api<Secret> = Api::namespaced(self.cluster.client(), self.namespace);
        let Ok(Ok(secret)) = tokio::time::timeout(ANSWER, api.get_opt(name)).await else {
            return place.exists().then_some(place);
        };
        let files = match secret {
            Some(secret) => secret.data.unwrap_or_default(),
            None if optional => BTreeMap::new(),
            None => return None,
        };
        fill(&place, files.into_iter().map(|(key, bytes)| (key, bytes.0)).collect())?;
        Some(place)
    }
}

/// Exactly those files.
fn fill(place: &Path, files: BTreeMap<String, Vec<u8>>) -> Option<()> {
    std::fs::create_dir_all(place).ok()?;
    for file in std::fs::read_dir(place).ok()?.flatten() {
        drop(std::fs::remove_file(file.path()));
    }
    for (key, bytes) in files {
        std::fs::write(place.join(key), bytes).ok()?;
    }
    Some(())
}

impl Mounted {
    /// A text that begins with the path of a folder in the container, with its path on this machine.
    pub(super) fn local(&self, text: &str) -> String {
        let inside =
            |path: &str| text.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let place = self.0.iter().find(|(path, _)| inside(path));
        place.map_or_else(
            || text.to_owned(),
            |(path, here)| text.replacen(path, here.to_str().expect("text"), 1),
        )
    }
}
