-- Halted on purpose is Healthy, with the halt in the message; a tripped breaker or a ledger that cannot be trusted is
-- Degraded.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator" }
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(name, status)
  return conditions[name] ~= nil and conditions[name].status == status
end

local halted = nil
if is("Halted", "True") then
  halted = "Halted: " .. (obj.status.halt and obj.status.halt.by or conditions.Halted.message)
  if conditions.Halted.reason == "BreakerTripped" or conditions.Halted.reason == "LedgerUnknown" then
    return { status = "Degraded", message = halted }
  end
end
if is("Stalled", "True") then
  return { status = "Degraded", message = conditions.Stalled.message }
end
if is("Ready", "True") then
  return { status = "Healthy", message = halted or conditions.Ready.message }
end
if is("Reconciling", "True") then
  return { status = "Progressing", message = conditions.Reconciling.message }
end
if is("Ready", "False") then
  return { status = "Degraded", message = conditions.Ready.message }
end
return { status = "Progressing", message = "Waiting for the operator" }
