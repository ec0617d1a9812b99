import java.io.File;
import java.io.FileInputStream;
import java.io.FileWriter;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.Base64;
import java.util.Collection;
import java.util.Collections;
import java.util.Set;
import javax.net.ssl.KeyManagerFactory;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.est.CACertsResponse;
import org.bouncycastle.est.CSRRequestResponse;
import org.bouncycastle.est.ESTAuth;
import org.bouncycastle.est.ESTService;
import org.bouncycastle.est.EnrollmentResponse;
import org.bouncycastle.est.jcajce.JcaHttpAuthBuilder;
import org.bouncycastle.est.jcajce.JcaJceUtils;
import org.bouncycastle.est.jcajce.JsseDefaultHostnameAuthorizer;
import org.bouncycastle.est.jcajce.JsseESTServiceBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

/** An EST client by Bouncy Castle: HOST:PORT ROOT.pem FOLDER NAME PASSWORD; enrols, then renews with a new key. */
public class BouncyCastleEst {
    public static void main(String[] words) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        String server = words[0];
        File folder = new File(words[2]);
        X509Certificate root;
        try (FileInputStream in = new FileInputStream(words[1])) {
            root = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
        Set<TrustAnchor> anchors = Collections.singleton(new TrustAnchor(root, null));

        ESTService plain = builder(server, anchors).build();
        CACertsResponse authorities = plain.getCACerts();
        System.out.println("authorities " + authorities.getCertificateStore().getMatches(null).size());
        CSRRequestResponse attributes = plain.getCSRAttributes();
        System.out.println("attributes " + attributes.getAttributesResponse().getRequirements().size());

        ESTAuth auth = new JcaHttpAuthBuilder(words[3], words[4].toCharArray()).build();
        KeyPair first = newKey();
        X509Certificate old = enrol(plain, false, first, auth);
        write(folder, "first.pem", old, first.getPrivate());

        KeyStore shown = KeyStore.getInstance("PKCS12");
        shown.load(null, null);
        shown.setKeyEntry("old", first.getPrivate(), new char[0], new Certificate[] {old});
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(shown, new char[0]);
        ESTService showing = builder(server, anchors).withKeyManagers(keys.getKeyManagers()).build();
        KeyPair second = newKey();
        write(folder, "second.pem", enrol(showing, true, second, null), second.getPrivate());
    }

    private static JsseESTServiceBuilder builder(String server, Set<TrustAnchor> anchors) throws Exception {
        JsseESTServiceBuilder builder = new JsseESTServiceBuilder(server, JcaJceUtils.getCertPathTrustManager(anchors, null));
        builder.withHostNameAuthorizer(new JsseDefaultHostnameAuthorizer(null));
        return builder;
    }

    private static KeyPair newKey() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        return generator.generateKeyPair();
    }

    private static X509Certificate enrol(ESTService service, boolean again, KeyPair key, ESTAuth auth) throws Exception {
        ContentSigner signer = new JcaContentSignerBuilder("SHA256withECDSA").build(key.getPrivate());
        PKCS10CertificationRequest request =
            new JcaPKCS10CertificationRequestBuilder(new X500Name("CN=from the firmware"), key.getPublic()).build(signer);
        EnrollmentResponse answer = service.simpleEnroll(again, request, auth);
        if (!answer.isCompleted()) {
            throw new IllegalStateException("not before " + answer.getNotBefore());
        }
        Collection<X509CertificateHolder> found = answer.getStore().getMatches(null);
        byte[] der = found.iterator().next().getEncoded();
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new java.io.ByteArrayInputStream(der));
    }

    private static void write(File folder, String name, X509Certificate certificate, PrivateKey key) throws Exception {
        String text = pem("CERTIFICATE", certificate.getEncoded()) + pem("PRIVATE KEY", key.getEncoded());
        try (FileWriter out = new FileWriter(new File(folder, name))) {
            out.write(text);
        }
    }

    private static String pem(String label, byte[] der) {
        String text = Base64.getMimeEncoder(64, new byte[] {10}).encodeToString(der);
        return "-----BEGIN " + label + "-----\n" + text + "\n-----END " + label + "-----\n";
    }
}
