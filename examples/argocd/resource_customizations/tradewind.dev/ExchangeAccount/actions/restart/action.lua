-- Positions stay guarded by the stops in the ledger, and the new worker takes them over before it trades.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["tradewind.dev/restarted-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
