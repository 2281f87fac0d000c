// Checks the HMAC-SHA256 of the raw body. njs has no comparison in constant time.
import crypto from 'crypto';

function verify(r) {
	const mac = crypto.createHmac('sha256', r.variables.secret).update(r.requestBuffer).digest('hex');
	if (mac !== r.headersIn['X-Signature']) {
		r.return(401);
		return;
	}
	r.internalRedirect('@backend');
}

export default { verify };
