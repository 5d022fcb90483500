-- One halt at a time, the first that can be resumed by name. Others are resumed by deleting their TradingHalt.
local strategy = "strategy." .. obj.metadata.name .. "."
for _, source in ipairs(((obj.status or {}).halt or {}).sources or {}) do
  if source.uid ~= nil and source.name >= strategy and source.name < strategy .. "~" then
    obj.spec.halted = nil
    obj.spec.resume = { haltID = source.uid }
    return obj
  end
end
return obj
