return {
  ["restart"] = { ["disabled"] = false, ["displayName"] = "Restart worker", ["iconClass"] = "fa fa-fw fa-sync" },
}
