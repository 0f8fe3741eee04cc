package main

import (
	"flag"
	"sync"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// runNetworkPolicy enforces NetworkPolicies on one node's pods: kube-router's firewall without its proxy and its router.
func runNetworkPolicy() {
	config := options.NewKubeRouterConfig()
	flag.StringVar(&config.Kubeconfig, "kubeconfig", "", "how to reach the API server")
	flag.StringVar(&config.HostnameOverride, "node", "", "the node whose pods to guard")
	flag.StringVar(&config.ClusterIPCIDRs[0], "services", "", "the address range of services")
	flag.Parse()
	config.EnableIPv4 = true

	connection, err := clientcmd.BuildConfigFromFlags("", config.Kubeconfig)
	orEnd(err)
	client, err := kubernetes.NewForConfig(connection)
	orEnd(err)
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	forever := make(chan struct{})
	factory.Start(forever)
	factory.WaitForCacheSync(forever)

	iptables, ipsets, err := netpol.NewIPTablesHandlers(config)
	orEnd(err)
	var ipsetLock sync.Mutex
	newController := func() (*netpol.NetworkPolicyController, error) {
		return netpol.NewNetworkPolicyController(client, config, pods, policies, namespaces, &ipsetLock, iptables, ipsets)
	}
	controller, err := newController()
	for err != nil {
		// It reads the node's addresses, and the kubelet registers the node some time after this program has started.
		klog.InfoS("Cannot guard the node's pods yet", "err", err)
		time.Sleep(time.Second)
		controller, err = newController()
	}
	_, err = pods.AddEventHandler(controller.PodEventHandler)
	orEnd(err)
	_, err = namespaces.AddEventHandler(controller.NamespaceEventHandler)
	orEnd(err)
	_, err = policies.AddEventHandler(controller.NetworkPolicyEventHandler)
	orEnd(err)

	// The controller reports each round, and stands still when nobody takes its reports.
	heartbeats := make(chan *healthcheck.ControllerHeartbeat)
	go func() {
		for range heartbeats {
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	controller.Run(heartbeats, forever, &running)
}

func orEnd(err error) {
	if err != nil {
		klog.Fatal(err)
	}
}
