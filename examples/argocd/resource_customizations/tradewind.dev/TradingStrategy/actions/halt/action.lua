-- The operator and the worker latch it at once into a TradingHalt, which stays when Git takes the field back.
obj.spec.halted = true
return obj
