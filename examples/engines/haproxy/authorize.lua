-- Asks `authorize` whether a request may pass, in nginx's dialect. An error or a late answer leaves txn.auth_status
-- unset, and haproxy.cfg then refuses.

local AUTHORIZE = "http://127.0.0.1:8081/"
-- HAProxy asks up to four times where there is no answer: two seconds in all.
local MILLISECONDS = 500

-- Bodies and secrets stay here, what belongs to one hop does not travel, and what the question says is not the client's.
local WITHHELD = {}
for _, name in pairs({ "host", "connection", "keep-alive", "te", "trailer", "content-length", "transfer-encoding", "expect",
  "http2-settings", "authorization", "cookie", "accept-encoding", "x-original-method", "x-original-host", "x-original-uri",
  "x-forwarded-for" }) do WITHHELD[name] = true end

-- HAProxy counts values from 0, its client from 1.
local function list(values)
  local found = {}
  for i = 0, values and #values or -1 do found[i + 1] = values[i] end
  return found
end

local function question(txn)
  local headers = txn.http:req_get_headers()
  local asked = {}
  for name, values in pairs(headers) do
    if not WITHHELD[name] then asked[name] = list(values) end
  end
  asked["x-original-method"] = { txn.f:method() }
  asked["x-original-host"] = list(headers["host"])
  asked["x-original-uri"] = { txn.f:url() }
  asked["x-forwarded-for"] = { txn.f:src() }
  -- That there is a cookie is enough.
  if headers["cookie"] then asked["cookie"] = { "sent" } end
  return asked
end

local function first(headers, name)
  return headers[name] and headers[name][0]
end

core.register_action("authorize", { "http-req" }, function(txn)
  local answer = core.httpclient():get({ url = AUTHORIZE, headers = question(txn), timeout = MILLISECONDS })
  if answer == nil or answer.status == nil then return end

  if answer.status == 200 then
    local headers = answer.headers
    for variable, name in pairs({ allow_origin = "access-control-allow-origin", allow_credentials = "access-control-allow-credentials",
      vary = "vary", frame_options = "x-frame-options", frame_ancestors = "content-security-policy", nosniff = "x-content-type-options" }) do
      local value = first(headers, name)
      if value ~= nil then txn:set_var("txn.auth_" .. variable, value) end
    end
    txn:set_var("txn.auth_status", 200)
  elseif answer.status == 403 or (answer.status == 204 and txn.f:method() == "OPTIONS") then
    -- A preflight's answer or a refusal, in authorize's own words.
    local reply = txn:reply({ status = answer.status, body = answer.body })
    for name, values in pairs(answer.headers) do
      if name ~= "connection" and name ~= "keep-alive" and name ~= "transfer-encoding" and name ~= "content-length" then
        for i = 0, #values do reply:add_header(name, values[i]) end
      end
    end
    txn:done(reply)
  end
end)
