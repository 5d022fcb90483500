-- A breach is told in the message: the strategy or the account it halted is Degraded, its policy did what it is for.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator" }
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

if conditions.Accepted ~= nil and conditions.Accepted.status == "False" then
  return { status = "Degraded", message = conditions.Accepted.message }
end
if conditions.Breached ~= nil and conditions.Breached.status == "True" then
  return { status = "Healthy", message = conditions.Breached.message }
end
if conditions.Accepted ~= nil and conditions.Accepted.status == "True" then
  return { status = "Healthy", message = conditions.Accepted.message }
end
return { status = "Progressing", message = "Waiting for the operator" }
