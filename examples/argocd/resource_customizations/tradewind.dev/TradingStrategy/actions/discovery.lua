local halted = obj.spec.halted == true

-- What can be resumed by name: halts whose target is this strategy, by the names latches and breakers have.
local resumable = false
local strategy = "strategy." .. obj.metadata.name .. "."
for _, source in ipairs(((obj.status or {}).halt or {}).sources or {}) do
  if source.uid ~= nil and source.name >= strategy and source.name < strategy .. "~" then
    resumable = true
  end
end

return {
  ["halt"] = { ["disabled"] = halted, ["iconClass"] = "fa fa-fw fa-stop-circle" },
  ["resume"] = { ["disabled"] = not resumable, ["iconClass"] = "fa fa-fw fa-play-circle" },
}
