-- Checks the HMAC-SHA256 of the raw body with libcrypto and a keyed state that is used again.
local ffi = require "ffi"
ffi.cdef [[
typedef struct hmac_ctx_st HMAC_CTX;
HMAC_CTX *HMAC_CTX_new(void);
const void *EVP_sha256(void);
int HMAC_Init_ex(HMAC_CTX *ctx, const void *key, int len, const void *md, void *impl);
int HMAC_Update(HMAC_CTX *ctx, const char *data, size_t len);
int HMAC_Final(HMAC_CTX *ctx, unsigned char *md, unsigned int *len);
int CRYPTO_memcmp(const void *a, const void *b, size_t len);
unsigned char *ngx_hex_dump(unsigned char *dst, const unsigned char *src, size_t len);
]]

local C = ffi.C
local secret = ...
local ctx = C.HMAC_CTX_new()
local mac = ffi.new("unsigned char[32]")
local hex = ffi.new("unsigned char[64]")
assert(C.HMAC_Init_ex(ctx, secret, #secret, C.EVP_sha256(), nil) == 1)

return function()
	ngx.req.read_body()
	local body = ngx.req.get_body_data()
	local signature = ngx.var.http_x_signature
	if not body or not signature or #signature ~= 64 then
		return ngx.exit(401)
	end
	C.HMAC_Init_ex(ctx, nil, 0, nil, nil)
	C.HMAC_Update(ctx, body, #body)
	C.HMAC_Final(ctx, mac, nil)
	C.ngx_hex_dump(hex, mac, 32)
	if C.CRYPTO_memcmp(hex, signature, 64) ~= 0 then
		return ngx.exit(401)
	end
end
