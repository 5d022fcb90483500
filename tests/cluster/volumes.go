package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Two classes of volumes, both folders below the cluster's own:
//
//	local     the default: bound to the node its first pod is placed on, as a disk in that machine is
//	network   reachable from every node, as a disk in a network is
//
// A new volume belongs to uid and gid 65532, which may write it; others do by their pod's fsGroup ("local" only).
const (
	provisioner    = "tradewind.dev/folder"
	localClass     = "local"
	networkClass   = "network"
	volumeOwner    = 65532
	provisionedBy  = "pv.kubernetes.io/provisioned-by"
	asksProvision  = "volume.kubernetes.io/storage-provisioner"
	selectedNode   = "volume.kubernetes.io/selected-node"
	isDefaultClass = "storageclass.kubernetes.io/is-default-class"
)

// volumes makes and removes volumes as claims come and go.
type volumes struct {
	*clients
	folder string
	claims corelisters.PersistentVolumeClaimLister
	stored corelisters.PersistentVolumeLister
}

// provisionVolumes makes the storage classes and serves them from now on.
func (c *clients) provisionVolumes(folder string) error {
	for name, mode := range map[string]storage.VolumeBindingMode{
		localClass: storage.VolumeBindingWaitForFirstConsumer, networkClass: storage.VolumeBindingImmediate,
	} {
		class := &storage.StorageClass{ObjectMeta: meta.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode}
		if name == localClass {
			class.Annotations = map[string]string{isDefaultClass: "true"}
		}
		if _, err := c.StorageV1().StorageClasses().Create(context.Background(), class, meta.CreateOptions{}); err != nil {
			return err
		}
	}
	factory := informers.NewSharedInformerFactory(c, 0)
	v := &volumes{clients: c, folder: folder,
		claims: factory.Core().V1().PersistentVolumeClaims().Lister(), stored: factory.Core().V1().PersistentVolumes().Lister()}
	changed := make(chan struct{}, 1)
	tell := func() {
		select {
		case changed <- struct{}{}:
		default: // told already
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { tell() }, UpdateFunc: func(any, any) { tell() }}
	factory.Core().V1().PersistentVolumeClaims().Informer().AddEventHandler(handler)
	factory.Core().V1().PersistentVolumes().Informer().AddEventHandler(handler)
	factory.Start(nil)
	go func() {
		for range changed {
			if err := v.pass(); err != nil {
				fmt.Fprintln(os.Stderr, "controlplane: volumes:", err)
				time.AfterFunc(500*time.Millisecond, tell)
			}
		}
	}()
	return nil
}

// pass does what is to do for every claim and volume.
func (v *volumes) pass() error {
	claims, err := v.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, claim := range claims {
		if err := v.provision(claim); err != nil {
			return fmt.Errorf("claim %s/%s: %w", claim.Namespace, claim.Name, err)
		}
	}
	stored, err := v.stored.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, volume := range stored {
		if err := v.remove(volume); err != nil {
			return fmt.Errorf("volume %s: %w", volume.Name, err)
		}
	}
	return nil
}

func (v *volumes) provision(claim *core.PersistentVolumeClaim) error {
	if claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil ||
		claim.Annotations[asksProvision] != provisioner {
		return nil
	}
	class, node := *claim.Spec.StorageClassName, claim.Annotations[selectedNode]
	if class == localClass && node == "" {
		return nil // until the scheduler has chosen one
	}
	name := "pvc-" + string(claim.UID)
	if _, err := v.stored.Get(name); err == nil {
		return nil
	}
	folder := filepath.Join(v.folder, name)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	if err := os.Chown(folder, volumeOwner, volumeOwner); err != nil && os.Geteuid() == 0 {
		return err
	}
	volume := &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisioner}},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			StorageClassName:              class,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &core.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
		},
	}
	if class == localClass {
		volume.Spec.Local = &core.LocalVolumeSource{Path: folder}
		volume.Spec.NodeAffinity = &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
			MatchExpressions: []core.NodeSelectorRequirement{{Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{node}}}}}}}
	} else {
		volume.Spec.HostPath = &core.HostPathVolumeSource{Path: folder}
	}
	_, err := v.CoreV1().PersistentVolumes().Create(context.Background(), volume, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// remove deletes a volume whose claim is gone, folder first.
func (v *volumes) remove(volume *core.PersistentVolume) error {
	ours := volume.Annotations[provisionedBy] == provisioner && volume.Status.Phase == core.VolumeReleased &&
		volume.Spec.PersistentVolumeReclaimPolicy == core.PersistentVolumeReclaimDelete && volume.DeletionTimestamp == nil
	if !ours {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(v.folder, volume.Name)); err != nil {
		return err
	}
	err := v.CoreV1().PersistentVolumes().Delete(context.Background(), volume.Name, meta.DeleteOptions{})
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}
