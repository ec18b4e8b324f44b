package main

// A small NetworkPolicy (networking.k8s.io/v1) enforcer for one node: watches pods, namespaces and policies and renders
// them as one nftables table that is swapped atomically.
//
// It is this project's own reading of the specification, not a CNI's: a test that passes here shows that a policy
// selects what its author meant, not how a particular CNI behaves. ipBlock with except, endPort and named egress ports
// are rendered but no test exercises them.

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"sort"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	np "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func init() { mains["netpol"] = netpol }

func sel(s *metav1.LabelSelector) labels.Selector {
	r, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return r
}

type npState struct {
	pods []*v1.Pod
	ns   map[string]*v1.Namespace
	pols []*np.NetworkPolicy
}

func (s *npState) peerIPs(policyNS string, p np.NetworkPolicyPeer) (out []string) {
	for _, pod := range s.pods {
		if p.NamespaceSelector == nil {
			if pod.Namespace != policyNS {
				continue
			}
		} else if n := s.ns[pod.Namespace]; n == nil || !sel(p.NamespaceSelector).Matches(labels.Set(n.Labels)) {
			continue
		}
		if p.PodSelector != nil && !sel(p.PodSelector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		out = append(out, pod.Status.PodIP)
	}
	return
}

func namedPort(pod *v1.Pod, name string, proto v1.Protocol) (out []string) {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name && (p.Protocol == proto || p.Protocol == "" && proto == v1.ProtocolTCP) {
				out = append(out, fmt.Sprint(p.ContainerPort))
			}
		}
	}
	return
}

// rules gives nft match expressions (each is one rule ending in "return") for one policy rule on one pod.
func (s *npState) rules(policyNS, dir string, self *v1.Pod, peers []np.NetworkPolicyPeer, ports []np.NetworkPolicyPort) (out []string) {
	type match struct {
		expr string
		ips  []string
	}
	var ms []match
	if len(peers) == 0 {
		ms = append(ms, match{"", nil})
	}
	for _, p := range peers {
		if p.IPBlock != nil {
			if strings.Contains(p.IPBlock.CIDR, ":") {
				continue
			}
			e := fmt.Sprintf("ip %s %s ", dir, p.IPBlock.CIDR)
			if len(p.IPBlock.Except) > 0 {
				e += fmt.Sprintf("ip %s != { %s } ", dir, strings.Join(p.IPBlock.Except, ", "))
			}
			ms = append(ms, match{e, nil})
			continue
		}
		if ips := s.peerIPs(policyNS, p); len(ips) > 0 {
			ms = append(ms, match{fmt.Sprintf("ip %s { %s } ", dir, strings.Join(ips, ", ")), ips})
		}
	}
	for _, m := range ms {
		if len(ports) == 0 {
			out = append(out, m.expr)
		}
		for _, p := range ports {
			proto := v1.ProtocolTCP
			if p.Protocol != nil {
				proto = *p.Protocol
			}
			l := strings.ToLower(string(proto))
			switch {
			case p.Port == nil:
				out = append(out, m.expr+"meta l4proto "+l+" ")
			case p.Port.Type == intstr.Int && p.EndPort != nil:
				out = append(out, fmt.Sprintf("%s%s dport %d-%d ", m.expr, l, p.Port.IntVal, *p.EndPort))
			case p.Port.Type == intstr.Int:
				out = append(out, fmt.Sprintf("%s%s dport %d ", m.expr, l, p.Port.IntVal))
			case dir == "saddr": // ingress: the name is looked up on the pod itself
				for _, n := range namedPort(self, p.Port.StrVal, proto) {
					out = append(out, fmt.Sprintf("%s%s dport %s ", m.expr, l, n))
				}
			default: // egress: the name is looked up on each peer
				for _, pod := range s.pods {
					for _, ip := range m.ips {
						if ip == pod.Status.PodIP {
							for _, n := range namedPort(pod, p.Port.StrVal, proto) {
								out = append(out, fmt.Sprintf("ip daddr %s %s dport %s ", ip, l, n))
							}
						}
					}
				}
			}
		}
	}
	return
}

func (s *npState) render(strict bool) []byte {
	var chains, inMap, egMap bytes.Buffer
	for _, pod := range s.pods {
		var in, eg []string
		isolIn, isolEg := false, false
		for _, p := range s.pols {
			if p.Namespace != pod.Namespace || !sel(&p.Spec.PodSelector).Matches(labels.Set(pod.Labels)) {
				continue
			}
			for _, t := range p.Spec.PolicyTypes {
				if t == np.PolicyTypeIngress {
					isolIn = true
					for _, r := range p.Spec.Ingress {
						in = append(in, s.rules(p.Namespace, "saddr", pod, r.From, r.Ports)...)
					}
				} else {
					isolEg = true
					for _, r := range p.Spec.Egress {
						eg = append(eg, s.rules(p.Namespace, "daddr", pod, r.To, r.Ports)...)
					}
				}
			}
		}
		add := func(m *bytes.Buffer, kind string, rules []string) {
			id := kind + strings.ReplaceAll(pod.Status.PodIP, ".", "_")
			fmt.Fprintf(m, "  %s : jump %s,\n", pod.Status.PodIP, id)
			fmt.Fprintf(&chains, " chain %s {\n  comment \"%s/%s\"\n", id, pod.Namespace, pod.Name)
			for _, r := range rules {
				fmt.Fprintf(&chains, "  %sreturn\n", r)
			}
			fmt.Fprintf(&chains, "  counter drop\n }\n")
		}
		if isolIn {
			add(&inMap, "in", in)
		}
		if isolEg {
			add(&egMap, "eg", eg)
		}
	}
	elems := func(b bytes.Buffer) string {
		if b.Len() == 0 {
			return ""
		}
		return " elements = {\n" + b.String() + " }\n"
	}
	keep := "ct state established,related accept"
	if strict {
		keep = "ct direction reply accept"
	}
	return []byte(fmt.Sprintf(`table ip codeblue_netpol
delete table ip codeblue_netpol
table ip codeblue_netpol {
%s map ingress {
 type ipv4_addr : verdict
%s }
 map egress {
 type ipv4_addr : verdict
%s }
 chain forward {
  type filter hook forward priority filter + 10
  %s
  ip saddr vmap @egress
  ip daddr vmap @ingress
 }
 chain input {
  type filter hook input priority filter + 10
  %s
  ip saddr vmap @egress
 }
}
`, chains.String(), elems(inMap), elems(egMap), keep, keep))
}

func netpol() {
	fs := flag.NewFlagSet("netpol", flag.ExitOnError)
	kc := fs.String("kubeconfig", "", "")
	strict := fs.Bool("strict", false, "cut established connections too")
	fs.Parse(os.Args[1:])
	cfg, err := clientcmd.BuildConfigFromFlags("", *kc)
	if err != nil {
		log.Fatal(err)
	}
	cs := kubernetes.NewForConfigOrDie(cfg)
	f := informers.NewSharedInformerFactory(cs, 0)
	kick := make(chan struct{}, 1)
	poke := func() {
		select {
		case kick <- struct{}{}:
		default:
		}
	}
	h := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { poke() }, UpdateFunc: func(a, b any) { poke() }, DeleteFunc: func(any) { poke() }}
	pods, nss, pols := f.Core().V1().Pods(), f.Core().V1().Namespaces(), f.Networking().V1().NetworkPolicies()
	for _, i := range []cache.SharedIndexInformer{pods.Informer(), nss.Informer(), pols.Informer()} {
		if _, err := i.AddEventHandler(h); err != nil {
			log.Fatal(err)
		}
	}
	f.Start(context.Background().Done())
	f.WaitForCacheSync(context.Background().Done())
	var last []byte
	for range kick {
		time.Sleep(20 * time.Millisecond) // a rollout changes many pods at once: one swap for all of them
		s := &npState{ns: map[string]*v1.Namespace{}}
		all, _ := pods.Lister().List(labels.Everything())
		for _, p := range all {
			if p.Status.PodIP != "" && !p.Spec.HostNetwork && p.Status.Phase != v1.PodSucceeded && p.Status.Phase != v1.PodFailed {
				s.pods = append(s.pods, p)
			}
		}
		sort.Slice(s.pods, func(i, j int) bool { return s.pods[i].Status.PodIP < s.pods[j].Status.PodIP })
		ns, _ := nss.Lister().List(labels.Everything())
		for _, n := range ns {
			s.ns[n.Name] = n
		}
		s.pols, _ = pols.Lister().List(labels.Everything())
		sort.Slice(s.pols, func(i, j int) bool {
			return s.pols[i].Namespace+"/"+s.pols[i].Name < s.pols[j].Namespace+"/"+s.pols[j].Name
		})
		b := s.render(*strict)
		if bytes.Equal(b, last) {
			continue
		}
		c := exec.Command("nft", "-f", "-")
		c.Stdin = bytes.NewReader(b)
		if out, err := c.CombinedOutput(); err != nil {
			log.Printf("nft: %v: %s\n%s", err, out, b)
			time.Sleep(time.Second)
			poke()
			continue
		}
		last = b
		log.Printf("applied: %d pods, %d policies", len(s.pods), len(s.pols))
	}
}
